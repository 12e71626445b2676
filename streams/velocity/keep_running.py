"""Keeps the velocity job running on the session cluster. The supervisor runs this module.

Polls the cluster every second. When the job is missing (first start, or the JobManager was
restarted) it submits the job from the newest checkpoint in the data directory, from the savepoint
of a backfill, or from the beginning of the topics. When the job fails, Flink restarts it, not this
module. When a topic has become another log, it cancels the job and ends with an error.
"""

import logging
import subprocess
import sys
import threading
import time

from clients.errors import KafkaUnreachableError
from clients.program import run_until_stopped
from clients.topic_description import TopicDescriptions
from schemas.settings import Settings
from schemas.topics import LABELS, TRANSACTIONS
from streams.velocity.cluster import (
    cancel_job,
    check_state,
    job_state,
)
from streams.velocity.followed_logs import StateOfOtherLogError, check_logs

log = logging.getLogger(__name__)

_POLL_S = 1.0
_SUBMIT_S_MAX = 120.0
_LOOK_S = 2.0
"""How often the broker is asked which logs the topics are, s."""


class _Logs:
    """The input topics as the broker describes them, beside those that the state follows."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics: TopicDescriptions | None = None
        self._next_s = 0.0

    def check(self, *, is_running: bool) -> None:
        """Compare, unless it was done a moment ago and the job runs.

        Raises:
            KafkaUnreachableError: Kafka does not answer, or a topic is missing.
            StateOfOtherLogError: a topic is another log than the state follows.
        """
        if is_running and time.monotonic() < self._next_s:
            return
        if self._topics is None:
            self._topics = TopicDescriptions(self._settings.kafka_bootstrap, TRANSACTIONS, LABELS)
        found = {name: topic.identity for name, topic in self._topics.ask().items()}
        check_logs(self._settings, found, is_running=is_running)
        self._next_s = time.monotonic() + _LOOK_S


def keep_running(settings: Settings, stop: threading.Event) -> None:
    """Poll until ``stop`` is set; submit the job when it is missing.

    Raises:
        StateOfOtherLogError: a topic is another log than the state follows; the job was cancelled.
    """
    logs = _Logs(settings)
    while not stop.wait(_POLL_S):
        try:
            is_running = job_state(settings.flink_rest_url) is not None
            logs.check(is_running=is_running)
        except KafkaUnreachableError as error:
            log.warning("%s", error)
        except OSError as error:
            log.warning("flink at %s does not answer: %s", settings.flink_rest_url, error)
        except StateOfOtherLogError:
            # Its next checkpoint would have offsets of the other log.
            cancel_job(settings.flink_rest_url)
            raise
        else:
            if not is_running:
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


def _run(settings: Settings, stop: threading.Event) -> None:
    """Refuse state that the job cannot continue; SIGTERM ends this process, not the job."""
    check_state(settings)
    keep_running(settings, stop)


if __name__ == "__main__":
    sys.exit(run_until_stopped(_run))
