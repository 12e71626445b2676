"""Does a thing again and again at fixed times, with retries; for `weir train --every`.

Knows no thing it does: a task, a clock that can be interrupted, and who to tell. For fleets there
is `infra/airflow`; this is for one machine.
"""

import re
from collections.abc import Callable
from typing import Final

from features.definitions import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from infra.cli.failures import UsageError
from infra.simulation.clock import Clock
from schemas.errors import RetryableError, WeirError

RETRIES_MAX: Final = 3
RETRY_MS: Final = MINUTE_MS
"""Pause before the first retry, in ms; it doubles with each."""

_UNITS_MS: Final = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


def parse_duration(text: str) -> int:
    """Read a duration of one unit, in ms.

    Raises:
        UsageError: it is none, or 0.

    Examples:
        >>> [parse_duration(text) for text in ("90s", "30m", "6h", "1d")]
        [90000, 1800000, 21600000, 86400000]
    """
    found = re.fullmatch(r"([1-9]\d{0,5})([smhd])", text)
    if found is None:
        raise UsageError(f"{text!r:.40} is no duration; write 90s, 30m, 6h or 1d")
    return int(found[1]) * _UNITS_MS[found[2]]


def run_every(
    task: Callable[[], object], *, every_ms: int, clock: Clock, report: Callable[[str], None]
) -> None:
    """Do a task now and then every ``every_ms``, until the clock is interrupted.

    ::

        due      |            |            |            |
        task     [---]        [-x  retry-]  (late)      [--]
                               RetryableError: again after 1, 2, 4 minutes

    Times are counted from the start and do not drift. A time that passes while the task is still
    at work, or is being tried again, is left out. Another error than a retryable one is reported
    and waits for the next time: more events may have come by then.

    Args:
        task: what to do; raises `WeirError` for what may be better next time.
        every_ms: from one time to the next, ms, positive.
        clock: who waits.
        report: takes a sentence.
    """
    start_ms = clock.now_ms()
    while _tried(task, clock=clock, report=report):
        passed_ms = clock.now_ms() - start_ms
        left_ms = every_ms - passed_ms % every_ms
        if not clock.sleep(left_ms):
            return


def _tried(task: Callable[[], object], *, clock: Clock, report: Callable[[str], None]) -> bool:
    """Do it, again if the world was slow; False if the clock was interrupted."""
    for attempt in range(RETRIES_MAX + 1):
        try:
            task()
            return True
        except RetryableError as error:
            if attempt == RETRIES_MAX:
                report(f"given up until next time, after {RETRIES_MAX} retries: {error}")
                return True
            pause_ms = RETRY_MS * 2**attempt
            report(f"{error}; again in {pause_ms // SECOND_MS} s")
            if not clock.sleep(pause_ms):
                return False
        except WeirError as error:
            report(f"nothing until next time: {error}")
            return True
    return True
