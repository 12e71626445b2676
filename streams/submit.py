"""Keeps the velocity job running on the session cluster; the supervisor runs this module.

Looks at the cluster's REST interface every second or two. When the job is not there (first
start, a restarted JobManager) it is submitted from the newest retained checkpoint of the data
directory, or from the beginning of the topics if there is none. A job that fails on its own is
restarted by Flink itself, not from here.
"""

import argparse
import json
import logging
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

from features.definitions import DEFINITION_DIGEST
from schemas.errors import WeirError
from schemas.settings import Settings

log = logging.getLogger(__name__)

JOB_NAME = "weir-velocity"
_POLL_S = 1.0
_REQUEST_S_MAX = 5.0
_SUBMIT_S_MAX = 120.0
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


def keep_running(settings: Settings, stop: threading.Event) -> None:
    """Watch the job until ``stop`` is set; submit it when it is not there."""
    while not stop.wait(_POLL_S):
        try:
            if job_state(settings.flink_rest_url) is not None:
                continue
        except OSError as error:
            log.warning("flink at %s does not answer: %s", settings.flink_rest_url, error)
            continue
        _submit_in_child(stop)


def _submit_in_child(stop: threading.Event) -> None:
    """Submit in a process of its own, so that its JVM does not stay."""
    child = subprocess.Popen([sys.executable, "-m", "streams.submit", "--once"])
    waited_s = 0.0
    while child.poll() is None:
        if stop.wait(_POLL_S) or waited_s > _SUBMIT_S_MAX:
            child.terminate()
            child.wait()
            return
        waited_s += _POLL_S
    if child.returncode != 0:
        log.error("submitting the velocity job failed with exit code %d", child.returncode)


def submit(settings: Settings) -> None:
    """Submit the job and return as soon as the cluster has accepted it."""
    from streams import velocity_job  # noqa: PLC0415  # a JVM starts with it

    checkpoint = newest_checkpoint(checkpoints_dir(settings))
    restore_from = None if checkpoint is None else checkpoint.resolve().as_uri()
    log.info("submitting %s from %s", JOB_NAME, restore_from or "the beginning of the topics")
    env = velocity_job.environment(settings, restore_from=restore_from)
    velocity_job.build(env, settings)
    env.execute_async(JOB_NAME)


def main() -> None:
    """Entry point of ``python -m streams.submit``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="submit, then leave")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings()
    if arguments.once:
        submit(settings)
        return
    try:
        check_definitions(settings)
    except DefinitionsChangedError as error:
        sys.exit(f"error: {error}")
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    keep_running(settings, stop)


if __name__ == "__main__":
    main()
