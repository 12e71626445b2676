"""Runs a task again and again at fixed times, with retries; for `weir train --every`.

Knows nothing of the task. For one machine; `infra/airflow` has the same for Airflow.
"""

from collections.abc import Callable
from typing import Final, Protocol

from features.definitions import MINUTE_MS, SECOND_MS
from schemas.errors import RetryableError, WeirError

RETRIES_MAX: Final = 3
RETRY_MS: Final = MINUTE_MS
"""Pause before the first retry, in ms; it doubles with each."""


class Clock(Protocol):
    """Tells the time and waits."""

    def now_ms(self) -> int:
        """The time now, ms since 1970 UTC."""

    def sleep(self, duration_ms: float) -> bool:
        """Wait for a while; False once the clock is stopped."""


def run_every(
    task: Callable[[], object], *, every_ms: int, clock: Clock, report: Callable[[str], None]
) -> None:
    """Run a task now and then every ``every_ms``, until the clock is stopped.

    ::

        due      |            |            |            |
        task     [---]        [-x  retry-]  (late)      [--]
                               RetryableError: again after 1, 2, 4 minutes

    Times are counted from the start and do not drift. A time that passes while the task is still
    running, or is being retried, is skipped. An error that is not retryable is reported, and the
    task runs again at the next time: more events may have arrived by then.

    Args:
        task: raises `WeirError` for a failure that may be gone next time.
        every_ms: from one time to the next, ms, positive.
        clock: measures and waits; stopping it ends the schedule.
        report: takes a sentence.
    """
    start_ms = clock.now_ms()
    while _tried(task, clock=clock, report=report):
        passed_ms = clock.now_ms() - start_ms
        left_ms = every_ms - passed_ms % every_ms
        if not clock.sleep(left_ms):
            return


def _tried(task: Callable[[], object], *, clock: Clock, report: Callable[[str], None]) -> bool:
    """Run the task, with retries; False if the clock was stopped."""
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
