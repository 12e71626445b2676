"""Runs of an MLflow server that are there whole or not at all; for `register`, `dataset_log`.

A run that is being written carries `TAG_UNFINISHED`. What fails takes its run away again, with the
version that a lost answer may have left; where MLflow is not there to be told, or the process was
killed, `sweep_unfinished` of a later training does it.

::

    create, tagged --> files, read back --> FINISHED --> version --> tag removed
          |____________________|________________|___________|  failed: run and version deleted
"""

from __future__ import annotations

import http.client
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from training.errors import ModelRegistryUnreachableError

logger = logging.getLogger(__name__)

HEALTH_TIMEOUT_S: Final = 5.0
"""Longest wait, s, for the server to say that it is there."""
TAG_UNFINISHED: Final = "weir_unfinished"
"""On a run that is being written, or whose version is."""
UNFINISHED_MS_MAX: Final = 60 * 60 * 1_000
"""Age, ms, from which on a run that carries the tag is nobody's work any more: writing one takes
seconds, and with all of MLflow's retries some minutes."""
TAKE_AWAY_TRIES_MAX: Final = 3
"""Each is tried several times by MLflow's client, too: together about a minute."""
_RUNS_MAX: Final = 100

FAILURES: Final = (MlflowException, OSError)
"""How MLflow's client fails: files go another way than everything else."""


def check_reachable(tracking_uri: str) -> None:
    """Fail early, before minutes of work: MLflow's own client tries for long.

    Blocks: at most 5 s.

    Raises:
        ModelRegistryUnreachableError: there is no MLflow server at the address.
    """
    parts = urlsplit(tracking_uri)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=HEALTH_TIMEOUT_S
    )
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(tracking_uri, repr(error)) from error
    finally:
        connection.close()
    if status != http.HTTPStatus.OK:
        raise _unreachable(tracking_uri, f"/health answers {status}")


def open_client(tracking_uri: str) -> mlflow.MlflowClient:
    """Give MLflow's client, set to be quiet and to give up in good time.

    Blocks: at most 5 s, to see that there is a server.

    Raises:
        ModelRegistryUnreachableError: there is no MLflow server at the address.
    """
    check_reachable(tracking_uri)
    # Progress bars and addresses on standard output are for whoever calls us to print.
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    # Some 15 s a request instead of 4 minutes: whoever trains on a schedule tries again anyway.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    return mlflow.MlflowClient(tracking_uri)


def experiment_id(client: mlflow.MlflowClient, name: str) -> str:
    """Give the id of an experiment; it is made if there is none of this name."""
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found is not None else client.create_experiment(name))


@contextmanager
def whole_run(
    client: mlflow.MlflowClient, experiment: str, *, tags: Mapping[str, str]
) -> Iterator[str]:
    """Make a run for the time of a block, which must end it; the block's failure takes it away.

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
        # All is written; a sweep sees the version that names the run, and leaves it.
        logger.warning("run %s keeps its tag %s: %.200s", run_id, TAG_UNFINISHED, error)


def take_away(client: mlflow.MlflowClient, run_id: str) -> None:
    """Delete a run, and a version of it that a lost answer may have left.

    A warning, if MLflow is not there to be told; what led here is more important.
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
    """Take away what earlier trainings began and could not finish nor take away themselves.

    Args:
        client: of the server.
        experiment_names: where to look; those that do not exist are left out.
        referenced: ids of runs that a version names: they are whole, and only lose the tag.
        now_ms: the clock, ms since 1970 UTC; a run younger than `UNFINISHED_MS_MAX` may be
            another training's work.

    Returns:
        The ids of the runs that were taken away.
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


def _unreachable(tracking_uri: str, why: str) -> ModelRegistryUnreachableError:
    return ModelRegistryUnreachableError(
        f"MLflow does not answer at {tracking_uri} (setting WEIR_MLFLOW_TRACKING_URI): "
        f"{why:.300}; start the stack with `weir up`; the champion is unchanged"
    )
