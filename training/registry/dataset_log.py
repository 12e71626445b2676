"""The MLflow adapter of data sets: one run a data set, with its rows, version and statistics.

Owns that equal data sets are logged once. Called by `weir dataset build` and by the training run.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import mlflow
from mlflow.entities import Dataset as MlflowDataset
from mlflow.entities import DatasetInput, InputTag
from mlflow.exceptions import MlflowException

from clients.errors import ModelRegistryUnreachableError
from schemas.settings import Settings
from training.datasets.dataset import Dataset
from training.registry.mlflow_runs import (
    FAILURES,
    TAG_UNFINISHED,
    experiment_id,
    open_client,
    whole_run,
)

DIRECTORY: Final = "dataset"
"""The directory of a run's artifacts that has the files of a data set."""
TABLE_FILE: Final = f"{DIRECTORY}/rows.parquet"
REPORT_FILE: Final = f"{DIRECTORY}/report.json"
STATISTICS_FILE: Final = f"{DIRECTORY}/statistics.csv"


@dataclass(frozen=True, slots=True)
class LoggedDataset:
    """Where a data set is in MLflow.

    Attributes:
        run_id: the id of its run.
        experiment_id: the id of the experiment that has the run.
        is_new: whether it was logged just now; False if an equal one was there.
    """

    run_id: str
    experiment_id: str
    is_new: bool

    @property
    def link(self) -> str:
        """The address of the run's page, relative to any page of MLflow."""
        return f"#/experiments/{self.experiment_id}/runs/{self.run_id}"


def experiment_name(settings: Settings) -> str:
    """Give the name of the experiment that has the data sets of a model."""
    return f"{settings.model_name}-datasets"


def log_dataset(settings: Settings, dataset: Dataset) -> LoggedDataset:
    """Log a data set: its version as parameters, its rows and statistics as files.

    Delivery: once. If a run has the same version and rows already, that run is returned. The run
    is finished last, after the rows were read back; a failure before leaves no run.
    Blocks: some seconds; up to two minutes if MLflow stops answering meanwhile.

    Raises:
        ModelRegistryUnreachableError: MLflow failed.
    """
    with logged_dataset(settings, dataset) as logged:
        return logged


@contextmanager
def logged_dataset(settings: Settings, dataset: Dataset) -> Iterator[LoggedDataset]:
    """Log a data set as `log_dataset` does, for a block that uses it.

    If the block fails, the run is deleted, unless it was there before.

    Raises:
        ModelRegistryUnreachableError: MLflow failed.
    """
    uri = settings.mlflow_tracking_uri
    client = open_client(uri)
    try:
        experiment = experiment_id(client, experiment_name(settings))
        digests = {"digest": dataset.version.digest, "rows_digest": dataset.rows_digest}
        if (known := _known_run(client, experiment, digests)) is not None:
            yield LoggedDataset(known, experiment, is_new=False)
            return
        with whole_run(client, experiment, tags=digests) as run_id:
            _log(client, run_id, dataset)
            yield LoggedDataset(run_id, experiment, is_new=True)
    except FAILURES as error:
        raise ModelRegistryUnreachableError(
            f"MLflow at {uri} did not take the data set {dataset.version.digest}: {error!s:.200}"
        ) from error


def dataset_input(settings: Settings, dataset: Dataset) -> DatasetInput:
    """Describe the data set to MLflow, which shows it on the pages of the runs that used it."""
    version = dataset.version
    source = {"archive": version.archive, "first_ms": version.first_ms, "end_ms": version.end_ms}
    profile = {"num_rows": len(dataset.table), "num_frauds": int(dataset.table["is_fraud"].sum())}
    return DatasetInput(
        MlflowDataset(
            name=experiment_name(settings),
            digest=version.digest,
            source_type="weir_archive",
            source=json.dumps(source),
            profile=json.dumps(profile),
        ),
        [InputTag("mlflow.data.context", "training")],
    )


def dataset_files(dataset: Dataset) -> dict[str, bytes]:
    """Give the files that describe a data set, by path, without the rows."""
    return _placed(dataset.describing_files())


def _placed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{DIRECTORY}/{name}": content for name, content in files.items()}


def _known_run(client: mlflow.MlflowClient, experiment: str, digests: dict[str, str]) -> str | None:
    wanted = [f"tags.{name} = '{digest}'" for name, digest in digests.items()]
    query = " and ".join([*wanted, "attributes.status = 'FINISHED'"])
    for run in client.search_runs([experiment], query):
        # A run that a training under way created is deleted if that training fails.
        if TAG_UNFINISHED not in run.data.tags:
            return str(run.info.run_id)
    return None


def _log(client: mlflow.MlflowClient, run_id: str, dataset: Dataset) -> None:
    rows = _placed(dataset.row_files())
    files = {**rows, **dataset_files(dataset)}
    version = dataset.version
    params = {
        "first_ms": version.first_ms,
        "end_ms": version.end_ms,
        "as_of_ms": version.as_of_ms,
        "maturity_ms": version.maturity_ms,
        "definition_digest": version.definition_digest,
        "code_version": version.code_version,
        "split": version.split or "none",
        "archive": version.archive,
        "digest": version.digest,
        "rows_digest": dataset.rows_digest,
    }
    for key, param in params.items():
        client.log_param(run_id, key, param)
    figures = {
        "rows": len(dataset.table),
        "frauds": int(dataset.table["is_fraud"].sum()),
        "repeats": dataset.repeats,
        "immature": dataset.immature,
    }
    for key, figure in figures.items():
        client.log_metric(run_id, key, float(figure))
    with tempfile.TemporaryDirectory(prefix="weir-dataset-log-") as scratch:
        for path, content in files.items():
            (Path(scratch) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(scratch) / path).write_bytes(content)
        client.log_artifacts(run_id, scratch)
    with tempfile.TemporaryDirectory(prefix="weir-dataset-check-") as scratch:
        for path, content in rows.items():
            kept = Path(client.download_artifacts(run_id, path, scratch)).read_bytes()
            if kept != content:
                raise MlflowException(f"{path} reads back with other bytes than were written")
    client.set_terminated(run_id)
