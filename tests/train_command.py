"""`weir train` in tests: run on the logs with which parity is 0, and what it left in MLflow."""

from __future__ import annotations

from pathlib import Path

import mlflow
from typer.testing import CliRunner, Result

from clients.mlflow_rest import ModelVersion
from infra.cli.main import app
from schemas.settings import Settings, environment_of
from tests.services import Services, unique_name
from training.registry.dataset_log import experiment_name
from training.registry.versions import ModelVersions

FROM, UNTIL = "2026-02-16", "2026-03-18"
"""The first thirty days of the logs."""


def settings_of(services: Services, mlflow: Services, archive_url: str, data: Path) -> Settings:
    """A registered model of its own, on the logs and the archive that all tests read."""
    return services.settings.model_copy(
        update={
            "mlflow_tracking_uri": mlflow.mlflow_uri,
            "model_name": unique_name("model"),
            "archive_url": archive_url,
            "data_dir": data,
            "topic_partitions": 1,
        }
    )


def weir(settings: Settings, *arguments: str) -> Result:
    environment = {**environment_of(settings), "COLUMNS": "300"}
    return CliRunner(env=environment).invoke(app, list(arguments))


def train(settings: Settings, *arguments: str) -> Result:
    return weir(settings, "train", *arguments)


def fails(result: Result, *parts: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: "), result.output
    for part in parts:
        assert part in result.stderr


def runs_of(settings: Settings) -> list[mlflow.entities.Run]:
    """All runs that there are of the model and its data sets, whatever their state."""
    client = mlflow.MlflowClient(settings.mlflow_tracking_uri)
    names = (settings.model_name, experiment_name(settings))
    found = [client.get_experiment_by_name(name) for name in names]
    ids = [experiment.experiment_id for experiment in found if experiment is not None]
    return list(client.search_runs(ids)) if ids else []


def versions_of(settings: Settings) -> list[ModelVersion]:
    return ModelVersions.from_settings(settings).all()


def nothing_is_left(settings: Settings) -> None:
    assert versions_of(settings) == []
    assert runs_of(settings) == []
