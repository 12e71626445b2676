"""The velocity job on the session cluster and in the data directory.

Owns the job's names, whether it is running, from which state it starts (a checkpoint or the
savepoint of a backfill), and whether that state has the present definitions and layout. Asks
Flink's REST interface and reads files; starts no JVM, so polling is cheap. Called by
``keep_running.py``, ``submit.py`` and ``weir backfill``.
"""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.definitions import DEFINITION_DIGEST
from features.engine.plan import ENTITIES
from schemas.errors import WeirError
from schemas.settings import Settings

JOB_NAME = "weir-velocity"
BACKFILL_JOB_NAME = "weir-backfill"
GROUP_ID = "weir-velocity"
"""Consumer group of the job. Its offsets are those of the newest checkpoint; only a backfill reads
them, the job itself restores its offsets from the checkpoint."""
KEY_GROUPS = 128
"""Parts that the state can be split into, so also the highest parallelism (`Settings`). It must be
the same in all operators: the group of a key says which subtask gets its records."""
_UID = "engine"
_JOURNAL_FORMAT = 3
"""Format of the journals' entries. Format 1 was text, and its layout was not noted; format 2 lacked
the content of first deliveries."""
_REQUEST_S_MAX = 5.0
_GONE = frozenset({"FAILED", "CANCELED", "FINISHED", "SUSPENDED"})


class DefinitionsChangedError(WeirError):
    """The state was made by other definitions. The message says what the operator can do."""


class StateLayoutError(WeirError):
    """The state has another layout than the job needs. The message says what to do."""


@dataclass(frozen=True, slots=True)
class EngineOperator:
    """An operator of the job that has state.

    Attributes:
        uid: Flink's id of the operator in checkpoints and savepoints.
        first: position of its first entity.
        end: position after its last entity.
    """

    uid: str
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Start:
    """From which state and which offsets a job starts.

    Attributes:
        restore_from: URI of a checkpoint or savepoint; None for empty state.
        next_offsets: first offset to read by topic and partition, for a state that has no offsets,
            such as the savepoint of a backfill.
    """

    restore_from: str | None = None
    next_offsets: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


def engine_operators(settings: Settings) -> tuple[EngineOperator, ...]:
    """Give the operators that have state: one for all entities, or one for each of them.

    One operator needs one call for a batch, and nothing is encoded between the entities. But its
    task must own the keys of all entities, so with a parallelism above 1 it is split.
    """
    if settings.flink_parallelism == 1:
        return (EngineOperator(_UID, 0, len(ENTITIES)),)
    return tuple(
        EngineOperator(f"{_UID}-{position}", position, position + 1)
        for position in range(len(ENTITIES))
    )


def checkpoints_dir(settings: Settings) -> Path:
    """Directory of the job's checkpoints: one directory for each job id, ``chk-N`` below it."""
    return settings.data_dir / "flink" / "checkpoints"


def newest_checkpoint(root: Path) -> Path | None:
    """The newest complete checkpoint, that is one with a ``_metadata`` file; None without any."""
    complete = list(root.glob("*/chk-*/_metadata"))
    if not complete:
        return None
    return max(complete, key=lambda path: path.stat().st_mtime_ns).parent


def choose_start(settings: Settings) -> Start:
    """The newest checkpoint; else the savepoint of a backfill; else the beginning of the topics."""
    checkpoint = newest_checkpoint(checkpoints_dir(settings))
    if checkpoint is not None:
        return Start(checkpoint.resolve().as_uri())
    return read_seed(settings) or Start()


def read_seed(settings: Settings) -> Start | None:
    """The start that a backfill by the present definitions wrote, used or not; None without any."""
    seed = _seed_file(settings)
    if not seed.exists():
        return None
    written = json.loads(seed.read_text(encoding="utf-8"))
    if written["definition_digest"] != DEFINITION_DIGEST:
        return None
    offsets = {
        topic: {int(partition): offset for partition, offset in of_topic.items()}
        for topic, of_topic in written["next_offsets"].items()
    }
    return Start(written["savepoint"], offsets)


def stored_digest(settings: Settings) -> str | None:
    """Digest of the definitions that made the stored state; None if there is no state."""
    stored = _digest_file(settings)
    return stored.read_text(encoding="utf-8").strip() if stored.exists() else None


def install_seed(
    settings: Settings, *, savepoint: Path, next_offsets: Mapping[str, Mapping[int, int]]
) -> None:
    """Make the job start from the savepoint of a backfill. Call it while the job is stopped.

    The checkpoints of the old definitions are renamed, not deleted. The digest is written last:
    until then the job refuses to start, and another run of the backfill repeats all steps.

    Args:
        settings: of the deployment.
        savepoint: directory of the savepoint, with the operators of ``engine_operators``.
        next_offsets: first offset to read by topic and partition.
    """
    checkpoints = checkpoints_dir(settings)
    if checkpoints.exists() and any(checkpoints.iterdir()):
        aside = checkpoints.with_name(f"checkpoints-{stored_digest(settings) or 'unknown'}")
        number = 0
        while aside.exists():
            number += 1
            aside = aside.with_name(f"{aside.name.partition('.')[0]}.{number}")
        checkpoints.rename(aside)
    checkpoints.mkdir(parents=True, exist_ok=True)
    seed = {
        "definition_digest": DEFINITION_DIGEST,
        "savepoint": savepoint.resolve().as_uri(),
        "next_offsets": next_offsets,
    }
    _seed_file(settings).write_text(json.dumps(seed, indent=1) + "\n", encoding="utf-8")
    # The offsets are those of the archive, which the backfill has compared with the present logs.
    followed_logs_file(settings).unlink(missing_ok=True)
    _layout_file(settings).write_text(_layout(settings) + "\n", encoding="utf-8")
    _digest_file(settings).write_text(DEFINITION_DIGEST + "\n", encoding="utf-8")


def check_state(settings: Settings) -> None:
    """Refuse state that the job cannot continue; note digest and layout for the next start.

    Raises:
        DefinitionsChangedError: the stored state has another definition digest.
        StateLayoutError: the stored state has another layout.
    """
    _check_definitions(settings)
    _check_layout(settings)
    _digest_file(settings).parent.mkdir(parents=True, exist_ok=True)
    _layout_file(settings).write_text(_layout(settings) + "\n", encoding="utf-8")
    _digest_file(settings).write_text(DEFINITION_DIGEST + "\n", encoding="utf-8")


def _check_definitions(settings: Settings) -> None:
    stored = stored_digest(settings)
    if stored not in (None, DEFINITION_DIGEST):
        directory = _digest_file(settings).parent
        raise DefinitionsChangedError(
            f"the job's state in {directory} has definition digest {stored}, the code has "
            f"{DEFINITION_DIGEST}; run `weir backfill` to recompute state and rows from the "
            f"archive, or go back to the old code, or move {directory} to another place to "
            "recompute every row from the topics; keep it until that is done, because histories "
            "that the topics no longer hold are nowhere else"
        )


def _check_layout(settings: Settings) -> None:
    if choose_start(settings).restore_from is None:
        return
    file, needed = _layout_file(settings), _layout(settings)
    found = file.read_text(encoding="utf-8").strip() if file.exists() else "of an earlier version"
    if found != needed:
        raise StateLayoutError(
            f"the job's state in {file.parent} is {found}, the job needs state {needed}; set "
            f"WEIR_FLINK_PARALLELISM or the code back to continue with it, or move {file.parent} "
            "to another place to recompute every row from the topics; keep it until that is done, "
            "because histories that the topics no longer hold are nowhere else"
        )


def _layout(settings: Settings) -> str:
    if settings.flink_parallelism == 1:
        return f"of format {_JOURNAL_FORMAT} in one operator (parallelism 1)"
    return f"of format {_JOURNAL_FORMAT} in an operator for each entity (parallelism above 1)"


def job_state(flink_rest_url: str) -> str | None:
    """Flink's state of the newest velocity job that has not ended; None if there is none.

    Raises:
        OSError: the JobManager does not answer.
    """
    jobs = _running_jobs(flink_rest_url)
    newest = max(jobs, key=lambda job: job["start-time"], default=None)
    return None if newest is None else str(newest["state"])


def cancel_job(flink_rest_url: str) -> None:
    """Ask Flink to cancel the velocity job; its checkpoints stay.

    Raises:
        OSError: the JobManager does not answer.
    """
    for job in _running_jobs(flink_rest_url):
        url = f"{flink_rest_url}/jobs/{job['jid']}?mode=cancel"
        request = urllib.request.Request(url, method="PATCH")  # noqa: S310  # a setting
        with urllib.request.urlopen(request, timeout=_REQUEST_S_MAX):  # noqa: S310
            pass


def _running_jobs(flink_rest_url: str) -> list[dict[str, Any]]:
    url = f"{flink_rest_url}/jobs/overview"
    with urllib.request.urlopen(url, timeout=_REQUEST_S_MAX) as reply:  # noqa: S310  # a setting
        jobs = json.load(reply)["jobs"]
    return [job for job in jobs if job["name"] == JOB_NAME and job["state"] not in _GONE]


def followed_logs_file(settings: Settings) -> Path:
    """Says which logs the state follows; ``followed_logs.py`` owns its contents."""
    return checkpoints_dir(settings).parent / "followed-logs.json"


def _digest_file(settings: Settings) -> Path:
    return checkpoints_dir(settings).parent / "definition-digest"


def _layout_file(settings: Settings) -> Path:
    return checkpoints_dir(settings).parent / "state-layout"


def _seed_file(settings: Settings) -> Path:
    return checkpoints_dir(settings).parent / "seed.json"
