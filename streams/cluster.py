"""The velocity job as the session cluster and the data directory know it.

Its name, whether it runs, the checkpoint it can go on from, and whether that state is of today's
definitions. Asks Flink's REST interface and the disk; starts no JVM, so that watching is cheap.
Called by ``keep_running.py`` and ``submit.py``.
"""

import json
import urllib.request
from pathlib import Path

from features.definitions import DEFINITION_DIGEST
from schemas.errors import WeirError
from schemas.settings import Settings

JOB_NAME = "weir-velocity"
_REQUEST_S_MAX = 5.0
_GONE = frozenset({"FAILED", "CANCELED", "FINISHED", "SUSPENDED"})


class DefinitionsChangedError(WeirError):
    """The definitions changed while state of the old ones is kept. Operator action: see text."""


def checkpoints_dir(settings: Settings) -> Path:
    """Where the job's checkpoints are: one directory a job id, ``chk-N`` below it."""
    return settings.data_dir / "flink" / "checkpoints"


def newest_checkpoint(root: Path) -> Path | None:
    """The complete checkpoint (it has its ``_metadata``) that was written last, or None."""
    complete = list(root.glob("*/chk-*/_metadata"))
    if not complete:
        return None
    return max(complete, key=lambda path: path.stat().st_mtime_ns).parent


def check_definitions(settings: Settings) -> None:
    """Refuse to go on with state that other definitions made; note ours for the next start.

    Raises:
        DefinitionsChangedError: the checkpoints are of another definition digest.
    """
    noted = checkpoints_dir(settings).parent / "definition-digest"
    if noted.exists() and noted.read_text().strip() != DEFINITION_DIGEST:
        raise DefinitionsChangedError(
            f"the job's state in {noted.parent} is of definition digest "
            f"{noted.read_text().strip()}, the code has {DEFINITION_DIGEST}; go back to that code, "
            f"or remove {noted.parent} to compute every feature row anew from the topics"
        )
    noted.parent.mkdir(parents=True, exist_ok=True)
    noted.write_text(DEFINITION_DIGEST + "\n")


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
