"""Runs of an MLflow server that exist complete or not at all; for `register` and `dataset_log`.

A run that is being written carries `TAG_UNFINISHED`. A failure deletes its run, and the version
that a lost answer may have left. If MLflow is down at that moment, or the process was killed,
`sweep_unfinished` of a later training deletes them.

::

    create, tagged --> files, read back --> FINISHED --> version --> tag removed
          |____________________|________________|___________|  failed: run and version deleted
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from clients.errors import ModelRegistryUnreachableError
from clients.mlflow_rest import MlflowRest

logger = logging.getLogger(__name__)

HEALTH_TIMEOUT_S: Final = 5.0
"""Longest wait, s, for an answer to the health check."""
TAG_UNFINISHED: Final = "weir_unfinished"
"""On a run that is being written, or whose version is being written."""
UNFINISHED_MS_MAX: Final = 60 * 60 * 1_000
"""Age, ms, from which on a run that carries the tag counts as abandoned: writing one takes seconds,
and a few minutes with all of MLflow's retries."""
TAKE_AWAY_TRIES_MAX: Final = 3
"""MLflow's client retries each of them as well: together about a minute."""
_RUNS_MAX: Final = 100

FAILURES: Final = (MlflowException, OSError)
"""What MLflow's client raises: file transfers fail differently from all other requests."""


def check_reachable(tracking_uri: str) -> None:
    """Fail at once, before minutes of work: MLflow's own client retries for long.

    Blocks: at most 5 s.

    Raises:
        ModelRegistryUnreachableError: there is no MLflow server at the address.
    """
    try:
        MlflowRest(tracking_uri, timeout_s=HEALTH_TIMEOUT_S).check_reachable()
    except ModelRegistryUnreachableError as error:
        raise ModelRegistryUnreachableError(f"{error}; the champion is unchanged") from error


def open_client(tracking_uri: str) -> mlflow.MlflowClient:
    """Give MLflow's client, set to print nothing and to give up early.

    Blocks: at most 5 s, for the health check.

    Raises:
        ModelRegistryUnreachableError: there is no MLflow server at the address.
    """
    check_reachable(tracking_uri)
    # Only the command line prints to standard output.
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    # About 15 s a request instead of 4 minutes: a scheduled training is tried again anyway.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    return mlflow.MlflowClient(tracking_uri)


def experiment_id(client: mlflow.MlflowClient, name: str) -> str:
    """Give the id of an experiment; creates it if there is none of this name."""
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found is not None else client.create_experiment(name))


@contextmanager
def whole_run(
    client: mlflow.MlflowClient, experiment: str, *, tags: Mapping[str, str]
) -> Iterator[str]:
    """Create a run for a block, which must set it terminated; if the block fails, it is deleted.

    Args:
        client: of the server.
        experiment: its id.
        tags: of the run.

    Yields:
        The run's id.
    """
    run_id: str = client.create_run(experiment, tags={**tags, TAG_UNFINISHED: "yes"}).info.run_id
    try:
        yield run_id
    except BaseException:
        take_away(client, run_id)
        raise
    try:
        client.delete_tag(run_id, TAG_UNFINISHED)
    except FAILURES as error:
        # Everything is written. A sweep finds the version that names the run, and keeps it.
        logger.warning("run %s keeps its tag %s: %.200s", run_id, TAG_UNFINISHED, error)


def take_away(client: mlflow.MlflowClient, run_id: str) -> None:
    """Delete a run, and the version of it that a lost answer may have left.

    Only logs a warning if MLflow does not answer: the failure that led here is more important.
    """
    for attempt in range(1, TAKE_AWAY_TRIES_MAX + 1):
        try:
            for version in client.search_model_versions(f"run_id = '{run_id}'"):
                client.delete_model_version(version.name, version.version)
            client.set_terminated(run_id, status="FAILED")
            client.delete_run(run_id)
            return
        except FAILURES as error:
            if attempt == TAKE_AWAY_TRIES_MAX:
                logger.warning(
                    "run %s stays until a training an hour from now: %.200s", run_id, error
                )


def sweep_unfinished(
    client: mlflow.MlflowClient,
    experiment_names: Sequence[str],
    *,
    referenced: frozenset[str],
    now_ms: int,
) -> list[str]:
    """Delete the unfinished runs of earlier trainings that could not delete them themselves.

    Args:
        client: of the server.
        experiment_names: where to look; those that do not exist are skipped.
        referenced: ids of runs that a version names: they are complete, and only lose the tag.
        now_ms: the clock, ms since 1970 UTC; a run younger than `UNFINISHED_MS_MAX` may belong
            to a training that is still running.

    Returns:
        The ids of the deleted runs.
    """
    swept = []
    for run in _unfinished(client, experiment_names):
        if now_ms - run.info.start_time < UNFINISHED_MS_MAX:
            continue
        if run.info.run_id in referenced:
            client.delete_tag(run.info.run_id, TAG_UNFINISHED)
        else:
            take_away(client, run.info.run_id)
            swept.append(run.info.run_id)
    return swept


def _unfinished(client: mlflow.MlflowClient, experiment_names: Sequence[str]) -> list[Run]:
    found = [client.get_experiment_by_name(name) for name in experiment_names]
    ids = [experiment.experiment_id for experiment in found if experiment is not None]
    if not ids:
        return []
    runs = client.search_runs(
        ids, filter_string=f"tags.{TAG_UNFINISHED} = 'yes'", max_results=_RUNS_MAX
    )
    return list(runs)
