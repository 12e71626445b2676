"""Time as an argument: code that waits is given a clock, so that a test can control it.

Only the command line makes a `WallClock`.
"""

import threading
import time
from typing import Final, Protocol

_SLEEP_MS_MIN: Final = 0.2


class Clock(Protocol):
    """Tells the time and waits; both in ms since 1970 UTC."""

    def now_ms(self) -> int:
        """The time now."""

    def wait_until(self, due_ms: float) -> bool:
        """Wait until a time; return at once if it has passed.

        Returns:
            False if the wait ended early because the clock was stopped.
        """

    def sleep(self, duration_ms: float) -> bool:
        """Wait for a duration; False if the clock was stopped."""


class WallClock:
    """The clock of the machine; another thread can end its waits with `stop`."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000

    def wait_until(self, due_ms: float) -> bool:
        """See `Clock`."""
        return self.sleep(due_ms - time.time_ns() / 1e6)

    def sleep(self, duration_ms: float) -> bool:
        """See `Clock`; a wait that is shorter than the scheduler's resolution is skipped."""
        if duration_ms > _SLEEP_MS_MIN:
            self._stopped.wait(duration_ms / 1_000)
        return not self._stopped.is_set()

    def stop(self) -> None:
        """End all waits, current and later ones."""
        self._stopped.set()

    def raise_if_stopped(self) -> None:
        """Raise as Ctrl-C does, if the clock was stopped.

        Raises:
            KeyboardInterrupt: `stop` was called.
        """
        if self._stopped.is_set():
            raise KeyboardInterrupt
