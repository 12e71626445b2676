"""The velocity job as the session cluster and the data directory know it.

Its name, whether it runs, the checkpoint or the backfill's seed that it can go on from, and
whether that state is of today's definitions. Asks Flink's REST interface and the disk; starts no
JVM, so that watching is cheap. Called by ``keep_running.py``, ``submit.py`` and ``weir backfill``.
"""

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from features.definitions import DEFINITION_DIGEST
from schemas.errors import WeirError
from schemas.settings import Settings

JOB_NAME = "weir-velocity"
BACKFILL_JOB_NAME = "weir-backfill"
GROUP_ID = "weir-velocity"
"""The job's consumer group: says up to where its newest checkpoint has read, nothing reads it back
but a backfill."""
USER_UID = "user-velocity"
MERCHANT_UID = "merchant-risk"
"""The two stages, by which a checkpoint or a savepoint knows them."""
_REQUEST_S_MAX = 5.0
_GONE = frozenset({"FAILED", "CANCELED", "FINISHED", "SUSPENDED"})


class DefinitionsChangedError(WeirError):
    """The definitions changed while state of the old ones is kept. Operator action: see text."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a job that is submitted now begins with.

    Attributes:
        restore_from: address of a checkpoint or savepoint; None for empty states.
        next_offsets: by topic and partition the first offset to read, where the state does not
            say so itself. A savepoint of a backfill does not.
    """

    restore_from: str | None = None
    next_offsets: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


def checkpoints_dir(settings: Settings) -> Path:
    """Where the job's checkpoints are: one directory a job id, ``chk-N`` below it."""
    return settings.data_dir / "flink" / "checkpoints"


def newest_checkpoint(root: Path) -> Path | None:
    """The complete checkpoint (it has its ``_metadata``) that was written last, or None."""
    complete = list(root.glob("*/chk-*/_metadata"))
    if not complete:
        return None
    return max(complete, key=lambda path: path.stat().st_mtime_ns).parent


def start_of(settings: Settings) -> Start:
    """The newest checkpoint; without one the seed of a backfill; without that the beginning."""
    checkpoint = newest_checkpoint(checkpoints_dir(settings))
    if checkpoint is not None:
        return Start(checkpoint.resolve().as_uri())
    return seed_of(settings) or Start()


def seed_of(settings: Settings) -> Start | None:
    """What a backfill by the present definitions made to start from, used or not; None: nothing."""
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


def noted_digest(settings: Settings) -> str | None:
    """Digest of the definitions that the kept state was made by; None if there is no state."""
    noted = _digest_file(settings)
    return noted.read_text(encoding="utf-8").strip() if noted.exists() else None


def install_seed(
    settings: Settings, *, savepoint: Path, next_offsets: Mapping[str, Mapping[int, int]]
) -> None:
    """Let the job begin with the states of a backfill; to be called while it does not run.

    The checkpoints of the old definitions are put aside, not deleted. The note of the digest comes
    last: until then the job refuses to start, and a backfill that is run again does all of this
    again.
    """
    checkpoints = checkpoints_dir(settings)
    if checkpoints.exists() and any(checkpoints.iterdir()):
        aside = checkpoints.with_name(f"checkpoints-{noted_digest(settings) or 'unknown'}")
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
    _digest_file(settings).write_text(DEFINITION_DIGEST + "\n", encoding="utf-8")


def check_definitions(settings: Settings) -> None:
    """Refuse to go on with state that other definitions made; note ours for the next start.

    Raises:
        DefinitionsChangedError: the checkpoints are of another definition digest.
    """
    noted = noted_digest(settings)
    if noted not in (None, DEFINITION_DIGEST):
        directory = _digest_file(settings).parent
        raise DefinitionsChangedError(
            f"the job's state in {directory} is of definition digest {noted}, the code has "
            f"{DEFINITION_DIGEST}; run `weir backfill` to compute state and rows anew from the "
            f"archive, or go back to that code, or remove {directory} to compute every feature row "
            "anew from the topics"
        )
    _digest_file(settings).parent.mkdir(parents=True, exist_ok=True)
    _digest_file(settings).write_text(DEFINITION_DIGEST + "\n", encoding="utf-8")


def job_state(flink_rest_url: str) -> str | None:
    """State of the newest job with our name that has not ended; None if there is none.

    Raises:
        OSError: the JobManager does not answer.
    """
    url = f"{flink_rest_url}/jobs/overview"
    with urllib.request.urlopen(url, timeout=_REQUEST_S_MAX) as reply:  # noqa: S310  # our setting
        jobs = json.load(reply)["jobs"]
    ours = [job for job in jobs if job["name"] == JOB_NAME and job["state"] not in _GONE]
    newest = max(ours, key=lambda job: job["start-time"], default=None)
    return None if newest is None else str(newest["state"])


def _digest_file(settings: Settings) -> Path:
    return checkpoints_dir(settings).parent / "definition-digest"


def _seed_file(settings: Settings) -> Path:
    return checkpoints_dir(settings).parent / "seed.json"
