"""The materializer: brings the batch features online when a snapshot is due, and rests meanwhile.

The process that stays asks Redis one question now and then, and knows no Feast; what is due is
done by a short-lived process of its own, so that nobody pays for what Feast takes of memory. Run
as ``python -m training.datasets.materializer``; ``--once`` is that other process.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Final

import redis
from redis.exceptions import RedisError

from features.definitions import DAY_MS
from features.online.layout import complete_key
from schemas.errors import RetryableError
from schemas.settings import Settings

logger = logging.getLogger(__name__)

NICENESS: Final = 19
"""Nobody waits for it: a snapshot counts for two days."""
RUN_S_MAX: Final = 3_600.0
"""Longest time one materialisation may take, s; then it is ended, and tried again."""
END_S_MAX: Final = 5.0
"""How long a materialisation may take to end when told to, s."""
REDIS_S_MAX: Final = 2.0
"""Longest wait for Redis, s."""
POLLS_SKIPPED_MAX: Final = 16
"""Longest pause between two looks, in polls: a look at an archive costs a process."""
EXIT_NOTHING_DUE: Final = 3
"""Exit code of ``--once`` where nothing was due."""
_FIRST_LOOK_S: Final = 1.0


def due_snapshot_ms(*, now_ms: int, newest_event_ms: int, delay_ms: int) -> int:
    """Give the newest snapshot that may be taken: a midnight in UTC, ms since 1970.

    Both the clock and the archive must be past it by the delay. The archive, too, because a
    snapshot is taken once: during a replay, or while the archiver is behind, the clock alone
    would take it before its transactions are there.

    Args:
        now_ms: the clock, ms since 1970 UTC.
        newest_event_ms: newest event time in the archive, ms since 1970 UTC.
        delay_ms: for events that come late.

    Examples:
        >>> due_snapshot_ms(now_ms=5 * DAY_MS + 9, newest_event_ms=5 * DAY_MS + 3, delay_ms=3)
        432000000
        >>> due_snapshot_ms(now_ms=5 * DAY_MS + 9, newest_event_ms=5 * DAY_MS + 2, delay_ms=3)
        345600000
    """
    return (min(now_ms, newest_event_ms) - delay_ms) // DAY_MS * DAY_MS


def completed_ms(settings: Settings) -> int | None:
    """Ask Redis up to which snapshot all values are there; None: up to none.

    Blocks: at most `REDIS_S_MAX`.

    Raises:
        RedisError: no answer.
    """
    with redis.Redis.from_url(
        settings.redis_url, socket_timeout=REDIS_S_MAX, socket_connect_timeout=REDIS_S_MAX
    ) as client:
        mark = client.get(complete_key(settings.feast_project))
    return int(mark) if isinstance(mark, bytes) and mark.isdigit() else None


def may_be_due(settings: Settings, *, now_ms: int) -> bool:
    """Say whether a look at the archive is worth it; False while Redis does not answer.

    Args:
        settings: where Redis is.
        now_ms: the clock, ms since 1970 UTC.
    """
    delay_ms = settings.materialize_delay_s * 1_000
    try:
        done_ms = completed_ms(settings)
    except RedisError:
        # Nothing can be put there; the scorer and the API say that it is away.
        return False
    latest_ms = due_snapshot_ms(now_ms=now_ms, newest_event_ms=now_ms, delay_ms=delay_ms)
    return done_ms is None or done_ms < latest_ms


def materialize_what_is_due(settings: Settings, *, now_ms: int) -> bool:
    """Put the newest snapshot online that may be taken, unless it is there.

    Args:
        settings: where archive, registry and Redis are; paths absolute.
        now_ms: the clock, ms since 1970 UTC.

    Returns:
        Whether there was anything to do.

    Raises:
        RetryableError: the archive or Redis failed; what was online before stays.
        RedisError: Redis does not answer.
    """
    # Imported here: the process that stays has no use for it.
    from training.archive.newest import newest_event_ms  # noqa: PLC0415

    newest_ms = newest_event_ms(settings.archive_url)
    if newest_ms is None:
        return False
    due_ms = due_snapshot_ms(
        now_ms=now_ms, newest_event_ms=newest_ms, delay_ms=settings.materialize_delay_s * 1_000
    )
    done_ms = completed_ms(settings)
    if done_ms is not None and done_ms >= due_ms:
        return False
    # Imported only now: Feast takes seconds.
    from training.datasets.materialization import materialize  # noqa: PLC0415

    done = materialize(settings, now_ms=due_ms)
    logger.info(
        "%d users as of %d ms are online; %d snapshots were new",
        done.users,
        done.snapshot_ms,
        done.snapshots,
    )
    return True


def follow(settings: Settings, stop: threading.Event) -> None:
    """Look now and then until told to stop; a materialisation under way is then ended.

    Looks less and less often while the archive has not come so far, up to `POLLS_SKIPPED_MAX`.
    On failure: of a materialisation: it has logged why; a later look tries again.
    """
    pause_s = _FIRST_LOOK_S
    polls = 1
    while not stop.wait(pause_s):
        is_waiting = may_be_due(settings, now_ms=_now_ms()) and not _run_once(stop)
        polls = min(2 * polls, POLLS_SKIPPED_MAX) if is_waiting else 1
        pause_s = polls * settings.materialize_poll_s


def _run_once(stop: threading.Event) -> bool:
    """Run a materialisation as a process; says whether it put anything online."""
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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings()
    if "--once" in arguments:
        # It tells of each look into its own registry.
        logging.getLogger("feast").setLevel(logging.WARNING)
        try:
            return 0 if materialize_what_is_due(settings, now_ms=_now_ms()) else EXIT_NOTHING_DUE
        except (RetryableError, RedisError) as error:
            logger.warning("%s: %s", type(error).__name__, error)
            return 1
    os.nice(NICENESS)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    follow(settings, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
