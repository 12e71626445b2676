"""Keeps the velocity job running on the session cluster. The supervisor runs this module.

Polls the cluster every second. When the job is missing (first start, or the JobManager was
restarted) it submits the job from the newest checkpoint in the data directory, from the savepoint
of a backfill, or from the beginning of the topics. When the job fails, Flink restarts it, not this
module.
"""

import logging
import signal
import subprocess
import sys
import threading

from schemas.settings import Settings
from streams.velocity.cluster import (
    DefinitionsChangedError,
    StateLayoutError,
    check_state,
    job_state,
)

log = logging.getLogger(__name__)

_POLL_S = 1.0
_SUBMIT_S_MAX = 120.0


def keep_running(settings: Settings, stop: threading.Event) -> None:
    """Poll until ``stop`` is set; submit the job when it is missing."""
    while not stop.wait(_POLL_S):
        try:
            if job_state(settings.flink_rest_url) is not None:
                continue
        except OSError as error:
            log.warning("flink at %s does not answer: %s", settings.flink_rest_url, error)
            continue
        _submit_in_child(stop)


def _submit_in_child(stop: threading.Event) -> None:
    """Submit in a child process, because submitting starts a JVM."""
    child = subprocess.Popen([sys.executable, "-m", "streams.velocity.submit"])
    waited_s = 0.0
    while child.poll() is None:
        if stop.wait(_POLL_S) or waited_s > _SUBMIT_S_MAX:
            child.terminate()
            child.wait()
            return
        waited_s += _POLL_S
    if child.returncode != 0:
        log.error("submitting the velocity job failed with exit code %d", child.returncode)


def main() -> None:
    """Entry point. SIGTERM ends this process; the job keeps running."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings()
    try:
        check_state(settings)
    except (DefinitionsChangedError, StateLayoutError) as error:
        sys.exit(f"error: {error}")
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    keep_running(settings, stop)


if __name__ == "__main__":
    main()
