"""The materializer: a process that writes batch features to Redis when a snapshot is due.

The process that stays asks Redis one question at intervals and does not import Feast. When a
snapshot is due it starts a short-lived process, so that the memory of Feast is in use only then.
Run as ``python -m training.datasets.materializer``; ``--once`` is the short-lived process.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from typing import Final

import redis
from redis.exceptions import RedisError

from clients.program import LOG_FORMAT, run_until_stopped
from features.batch import BATCH_VIEWS
from features.definitions import DAY_MS
from features.online.layout import complete_key
from schemas.errors import RetryableError
from schemas.settings import Settings

logger = logging.getLogger(__name__)

NICENESS: Final = 19
"""Nothing waits for it: a snapshot is usable for two days."""
RUN_S_MAX: Final = 3_600.0
"""Longest time of one materialisation, s; after it the process is ended, and tried again."""
END_S_MAX: Final = 5.0
"""Time, s, between SIGTERM and SIGKILL to a materialisation."""
REDIS_S_MAX: Final = 2.0
"""Longest wait for Redis, s."""
POLLS_SKIPPED_MAX: Final = 16
"""Longest pause between two checks of the archive, in polls: each starts a process."""
EXIT_NOTHING_DUE: Final = 3
"""Exit code of ``--once`` if nothing was due."""
WATCH_S: Final = 5.0
"""Time between two looks whether Redis still has the snapshot that it had, s."""
_FIRST_CHECK_S: Final = 1.0


def due_snapshot_ms(*, now_ms: int, newest_event_ms: int, delay_ms: int) -> int:
    """Give the newest snapshot that may be taken: a midnight, ms since 1970 UTC.

    Both the clock and the archive must be past that midnight by the delay. A snapshot is taken
    once, so the clock alone is not enough: during a replay, or while the archiver is behind, the
    snapshot's transactions are not archived yet.

    Args:
        now_ms: the clock, ms since 1970 UTC.
        newest_event_ms: newest event time in the archive that is not after the clock, ms since
            1970 UTC.
        delay_ms: time to wait for late events.

    Examples:
        >>> due_snapshot_ms(now_ms=5 * DAY_MS + 9, newest_event_ms=5 * DAY_MS + 3, delay_ms=3)
        432000000
        >>> due_snapshot_ms(now_ms=5 * DAY_MS + 9, newest_event_ms=5 * DAY_MS + 2, delay_ms=3)
        345600000
    """
    return (min(now_ms, newest_event_ms) - delay_ms) // DAY_MS * DAY_MS


def completed_ms(settings: Settings) -> int | None:
    """Ask Redis for the newest snapshot of which it has all values of all views, ms since 1970 UTC.

    Blocks: at most `REDIS_S_MAX`.

    Returns:
        None if there is no such snapshot.

    Raises:
        RedisError: Redis does not answer.
    """
    with redis.Redis.from_url(
        settings.redis_url, socket_timeout=REDIS_S_MAX, socket_connect_timeout=REDIS_S_MAX
    ) as client:
        keys = [complete_key(settings.feast_project, view) for view in BATCH_VIEWS]
        marks = client.mget(keys)
    found = [int(mark) for mark in marks if isinstance(mark, bytes) and mark.isdigit()]
    return min(found) if len(found) == len(keys) else None


def may_be_due(settings: Settings, *, now_ms: int) -> bool:
    """Say whether the archive has to be checked; False while Redis does not answer.

    Args:
        settings: where Redis is.
        now_ms: the clock, ms since 1970 UTC.
    """
    delay_ms = settings.materialize_delay_s * 1_000
    try:
        done_ms = completed_ms(settings)
    except RedisError:
        # Nothing can be written. The scorer and the API report that Redis does not answer.
        return False
    latest_ms = due_snapshot_ms(now_ms=now_ms, newest_event_ms=now_ms, delay_ms=delay_ms)
    return done_ms is None or done_ms < latest_ms


def materialize_what_is_due(settings: Settings, *, now_ms: int) -> bool:
    """Write the newest due snapshot to Redis, unless it is there.

    Args:
        settings: where archive, registry and Redis are; paths are absolute.
        now_ms: the clock, ms since 1970 UTC.

    Returns:
        Whether a snapshot was due.

    Raises:
        RetryableError: the archive or Redis failed; the earlier values in Redis stay.
        RedisError: Redis does not answer.
    """
    # Imported here: the process that stays does not need it.
    from training.archive.newest import newest_event_ms  # noqa: PLC0415

    newest_ms = newest_event_ms(settings.archive_url, now_ms=now_ms)
    if newest_ms is None:
        return False
    due_ms = due_snapshot_ms(
        now_ms=now_ms, newest_event_ms=newest_ms, delay_ms=settings.materialize_delay_s * 1_000
    )
    done_ms = completed_ms(settings)
    if done_ms is not None and done_ms >= due_ms:
        return False
    # Imported here, only if a snapshot is due: Feast takes seconds.
    from training.datasets.materialization import materialize  # noqa: PLC0415

    done = materialize(settings, now_ms=due_ms)
    logger.info(
        "wrote %d users of the snapshot %d ms to Redis; %d snapshots were new",
        done.users,
        done.snapshot_ms,
        done.snapshots,
    )
    return True


class LossWatch:
    """Notices that Redis has lost the snapshot that it had: the mark is written last."""

    def __init__(self, settings: Settings) -> None:
        """Know nothing yet."""
        self._settings = settings
        self._had_snapshot = False

    def is_lost(self) -> bool:
        """Say, once, that the snapshot of the last look is gone; False while Redis is away."""
        try:
            has_snapshot = completed_ms(self._settings) is not None
        except RedisError:
            return False
        is_lost = self._had_snapshot and not has_snapshot
        self._had_snapshot = has_snapshot
        if is_lost:
            logger.warning("Redis has lost its batch features: checking what is due")
        return is_lost

    def wait(self, stop: threading.Event, pause_s: float) -> bool:
        """Wait, less if a loss is noticed; True if it was told to stop."""
        end_s = time.monotonic() + pause_s
        while (left_s := end_s - time.monotonic()) > 0:
            if stop.wait(min(WATCH_S, left_s)):
                return True
            if self.is_lost():
                break
        return stop.is_set()


def follow(settings: Settings, stop: threading.Event) -> None:
    """Check at intervals until told to stop; a materialisation under way is ended then.

    While the archive does not reach the due snapshot, the interval doubles up to
    `POLLS_SKIPPED_MAX` polls. When Redis has lost the snapshot, the next check is at once.
    On failure: the failed materialisation has logged the reason; the next check tries again.
    """
    pause_s = _FIRST_CHECK_S
    polls = 1
    watch = LossWatch(settings)
    while not watch.wait(stop, pause_s):
        is_waiting = may_be_due(settings, now_ms=_now_ms()) and not _run_once(stop)
        polls = min(2 * polls, POLLS_SKIPPED_MAX) if is_waiting else 1
        pause_s = polls * settings.materialize_poll_s


def _run_once(stop: threading.Event) -> bool:
    """Run a materialisation as a process; says whether it wrote a snapshot to Redis."""
    with subprocess.Popen(
        [sys.executable, "-m", "training.datasets.materializer", "--once"]
    ) as process:
        end_s = time.monotonic() + RUN_S_MAX
        while process.poll() is None:
            if stop.wait(0.2) or time.monotonic() > end_s:
                process.terminate()
                try:
                    process.wait(END_S_MAX)
                except subprocess.TimeoutExpired:
                    process.kill()
    if process.returncode not in (0, EXIT_NOTHING_DUE):
        logger.warning("a materialisation ended with %d; trying again", process.returncode)
    return process.returncode == 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main(arguments: list[str]) -> int:
    """Run until SIGTERM, or once; returns the exit code."""
    if "--once" not in arguments:
        return run_until_stopped(follow, niceness=NICENESS)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    # Feast logs every read of its registry.
    logging.getLogger("feast").setLevel(logging.WARNING)
    try:
        return 0 if materialize_what_is_due(Settings(), now_ms=_now_ms()) else EXIT_NOTHING_DUE
    except (RetryableError, RedisError) as error:
        logger.warning("%s: %s", type(error).__name__, error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
