"""Deletes the MLflow runs of trainings that were killed before they could delete them."""

import logging

from schemas.settings import Settings
from training.registry.dataset_log import experiment_name
from training.registry.mlflow_runs import FAILURES, open_client, sweep_unfinished
from training.registry.versions import ModelVersions

logger = logging.getLogger(__name__)


def clear_unfinished(settings: Settings, *, now_ms: int) -> list[str]:
    """Delete the runs of unfinished trainings that no version names.

    Args:
        settings: where MLflow is.
        now_ms: the clock, ms since 1970 UTC; only runs that began more than an hour ago go.

    Returns:
        The ids of the runs.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer.
    """
    client = open_client(settings.mlflow_tracking_uri)
    versions = ModelVersions.from_settings(settings).all()
    named = {version.run_id for version in versions}
    named |= {version.tags.get("dataset_run_id", "") for version in versions}
    names = (settings.model_name, experiment_name(settings))
    try:
        return sweep_unfinished(client, names, referenced=frozenset(named), now_ms=now_ms)
    except FAILURES as error:
        # It can wait for the next training; this one will report itself what is wrong with MLflow.
        logger.warning("runs of unfinished trainings were not looked for: %.200s", error)
        return []
