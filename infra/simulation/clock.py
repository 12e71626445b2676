"""Time as an argument: what waits for a moment is given a clock, so that a test can turn it.

Only the command line builds a `WallClock`.
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
        """Wait for a moment; at once when it has passed.

        Returns:
            False when the wait was given up because somebody asked to stop.
        """

    def sleep(self, duration_ms: float) -> bool:
        """Wait for a while; False when somebody asked to stop."""


class WallClock:
    """The machine's clock, whose waits end early when `stop` is called from another thread."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000

    def wait_until(self, due_ms: float) -> bool:
        """See `Clock`."""
        return self.sleep(due_ms - time.time_ns() / 1e6)

    def sleep(self, duration_ms: float) -> bool:
        """See `Clock`; a wait shorter than the scheduler's step is skipped."""
        if duration_ms > _SLEEP_MS_MIN:
            self._stopped.wait(duration_ms / 1_000)
        return not self._stopped.is_set()

    def stop(self) -> None:
        """End all waits, now and later."""
        self._stopped.set()

    def raise_if_stopped(self) -> None:
        """Go on as Ctrl-C does when somebody asked to stop.

        Raises:
            KeyboardInterrupt: `stop` was called.
        """
        if self._stopped.is_set():
            raise KeyboardInterrupt
