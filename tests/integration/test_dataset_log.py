"""A data set on a real MLflow: its rows come back as the same bytes, with its version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from clients.errors import ModelRegistryUnreachableError
from schemas.settings import Settings
from tests.services import Services, unique_name
from training.datasets.dataset import Dataset
from training.datasets.version import DatasetVersion
from training.registry.dataset_log import TABLE_FILE, experiment_name, log_dataset

DATASET = Dataset(
    table=pd.DataFrame({"amount_minor": [1.0, np.nan], "is_fraud": [True, False]}),
    version=DatasetVersion('{"labels":{"0":7}}', 1, 9, 8, 7, "0123456789abcdef", "a1b2c3"),
    repeats=3,
    immature=4,
)


def settings_of(mlflow_server: Services) -> Settings:
    return mlflow_server.settings.model_copy(update={"model_name": unique_name("model")})


def test_a_logged_data_set_reads_back_with_its_version(
    mlflow_server: Services, tmp_path: Path
) -> None:
    settings = settings_of(mlflow_server)
    run_id = log_dataset(settings, DATASET).run_id
    client = mlflow.MlflowClient(settings.mlflow_tracking_uri)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["digest"] == DATASET.version.digest
    assert run.data.params["archive"] == '{"labels":{"0":7}}'
    assert run.data.metrics == {"rows": 2, "frauds": 1, "repeats": 3, "immature": 4}
    kept = client.download_artifacts(run_id, TABLE_FILE, str(tmp_path))
    assert Path(kept).read_bytes() == DATASET.parquet()


def test_equal_data_sets_are_logged_once_and_other_rows_again(
    mlflow_server: Services,
) -> None:
    settings = settings_of(mlflow_server)
    first = log_dataset(settings, DATASET)
    again = log_dataset(settings, DATASET)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.run_id == first.run_id
    other = replace(DATASET, table=DATASET.table.assign(amount_minor=[2.0, 3.0]))
    assert log_dataset(settings, other).run_id != first.run_id


def test_a_data_set_that_cannot_be_logged_leaves_no_run(
    mlflow_server: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(mlflow_server)
    calls = iter([b"one", b"other"])
    # The rows read back with other bytes than were written.
    monkeypatch.setattr(Path, "read_bytes", lambda path: next(calls))
    with pytest.raises(ModelRegistryUnreachableError, match="reads back with other bytes"):
        log_dataset(settings, DATASET)
    monkeypatch.undo()
    client = mlflow.MlflowClient(settings.mlflow_tracking_uri)
    experiment = client.get_experiment_by_name(experiment_name(settings))
    assert experiment is not None
    assert list(client.search_runs([experiment.experiment_id])) == []


def test_logging_without_mlflow_names_the_address(mlflow_server: Services) -> None:
    away = mlflow_server.settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:1"})
    with pytest.raises(ModelRegistryUnreachableError, match=r"127\.0\.0\.1:1"):
        log_dataset(away, DATASET)
