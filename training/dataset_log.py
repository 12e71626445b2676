"""The MLflow adapter of data sets: one run a data set, with its rows, version and statistics."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import mlflow
from mlflow.exceptions import MlflowException

from schemas.settings import Settings
from training.dataset_build import Dataset
from training.errors import ModelRegistryUnreachableError
from training.register import ModelRegistry

TABLE_FILE: Final = "dataset/rows.parquet"


def experiment_name(settings: Settings) -> str:
    """Name the experiment that holds the data sets of a model."""
    return f"{settings.model_name}-datasets"


def log_dataset(settings: Settings, dataset: Dataset) -> str:
    """Log a data set: its version as parameters, its rows and statistics as files.

    Delivery: the run is ended last, after the rows were read back; a failure before leaves no
    run.
    Blocks: some seconds; each request is bounded by MLflow's own settings.

    Returns:
        The run's id.

    Raises:
        ModelRegistryUnreachableError: MLflow failed.
    """
    uri = settings.mlflow_tracking_uri
    ModelRegistry(uri, model_name=settings.model_name).check_reachable()
    files = {
        TABLE_FILE: dataset.parquet(),
        "dataset/report.json": dataset.report().encode(),
        "dataset/statistics.csv": dataset.statistics_csv(),
    }
    client = mlflow.MlflowClient(uri)
    try:
        name = experiment_name(settings)
        found = client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else client.create_experiment(name)
        run_id: str = client.create_run(
            experiment, tags={"digest": dataset.version.digest}
        ).info.run_id
        try:
            _log(client, run_id, dataset, files)
        except BaseException:
            client.delete_run(run_id)
            raise
    except MlflowException as error:
        raise ModelRegistryUnreachableError(
            f"MLflow at {uri} did not take the data set {dataset.version.digest}: {error!s:.200}"
        ) from error
    return run_id


def _log(
    client: mlflow.MlflowClient, run_id: str, dataset: Dataset, files: dict[str, bytes]
) -> None:
    version = dataset.version
    params = {
        "first_ms": version.first_ms,
        "end_ms": version.end_ms,
        "as_of_ms": version.as_of_ms,
        "maturity_ms": version.maturity_ms,
        "definition_digest": version.definition_digest,
        "code_version": version.code_version,
        "archive": version.archive,
        "digest": version.digest,
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
        kept = Path(client.download_artifacts(run_id, TABLE_FILE, scratch)).read_bytes()
        if kept != files[TABLE_FILE]:
            raise MlflowException(f"{TABLE_FILE} reads back otherwise than it was written")
    client.set_terminated(run_id)
