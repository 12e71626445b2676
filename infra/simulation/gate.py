"""Bounds a replay: how many transactions are in flight, and how far apart in event time.

A transaction is in flight from the moment it is sent until the system has answered it. `replay.py`
asks the gate before each transaction; the gate asks the log how far the system has come.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from features.definitions import LATENESS_MS
from infra.simulation.clock import Clock
from infra.simulation.event import Event
from schemas.errors import RetryableError

IN_FLIGHT_MAX: Final = 10_000
DRIFT_MS_MAX: Final = LATENESS_MS // 2
"""Limit of the event time between the newest transaction sent and the oldest one in flight."""
STALLED_MS_MAX: Final = 60_000

_POLL_MS: Final = 20
_CHECK_MS: Final = 1_000


class StalledError(RetryableError):
    """The feature log does not grow although transactions are in flight."""


class LogProgress(Protocol):
    """The progress of the system."""

    def answered(self) -> Mapping[int, int]:
        """Number of transactions answered so far, by partition.

        Never decreases. A transaction and its answer have the same partition, because both are
        keyed by the user.
        """


class Gate:
    """Delays transactions until the system has room for them.

    Args:
        log: asked once a second, and more often while a limit is reached and at the end.
        clock: measures the waits.
        partition_of: the partition of a transaction, by its key.
        in_flight_max: limit of transactions in flight, positive.
        drift_ms_max: limit of the event time between the newest transaction sent and the oldest
            one in flight, ms.
    """

    def __init__(
        self,
        *,
        log: LogProgress,
        clock: Clock,
        partition_of: Callable[[bytes], int],
        in_flight_max: int = IN_FLIGHT_MAX,
        drift_ms_max: int = DRIFT_MS_MAX,
    ) -> None:
        self._log = log
        self._clock = clock
        self._partition_of = partition_of
        self._in_flight_max = in_flight_max
        self._drift_ms_max = drift_ms_max
        self._answered = dict(log.answered())
        # Event times of transactions in flight, oldest first, by partition.
        self._waiting: dict[int, deque[int]] = {p: deque() for p in self._answered}
        self._checked_ms = clock.now_ms()

    @property
    def in_flight(self) -> int:
        """Number of transactions in flight, as of the last look at the log."""
        return sum(len(waiting) for waiting in self._waiting.values())

    def enter(self, transaction: Event) -> bool:
        """Count one transaction as in flight; wait for room first if there is none.

        Returns:
            False if the clock was stopped; the transaction is not counted then.

        Raises:
            StalledError: the log did not grow for `STALLED_MS_MAX`.
        """
        if self._clock.now_ms() - self._checked_ms >= _CHECK_MS:
            self._check()
        # Waits until a tenth of the limit is free, so that the log is not asked each time.
        has_room = self._has_room(transaction.due_ms, share=1.0) or self._wait_until(
            lambda: self._has_room(transaction.due_ms, share=0.9)
        )
        if not has_room:
            return False
        self._waiting[self._partition_of(transaction.key)].append(transaction.due_ms)
        return True

    def drain(self) -> bool:
        """Wait until no transaction is in flight; False if the clock was stopped.

        Raises:
            StalledError: the log did not grow for `STALLED_MS_MAX`.
        """
        return self._wait_until(lambda: not self.in_flight)

    def _has_room(self, event_time_ms: int, *, share: float) -> bool:
        if self.in_flight >= self._in_flight_max * share:
            return False
        oldest_ms = min((waiting[0] for waiting in self._waiting.values() if waiting), default=None)
        return oldest_ms is None or event_time_ms - oldest_ms <= self._drift_ms_max * share

    def _wait_until(self, is_over: Callable[[], bool]) -> bool:
        grown_ms = self._clock.now_ms()
        while True:
            if self._check():
                grown_ms = self._clock.now_ms()
            if is_over():
                return True
            if self._clock.now_ms() - grown_ms >= STALLED_MS_MAX:
                raise StalledError(
                    f"the velocity job does not answer: {self.in_flight} transactions in flight "
                    f"and the feature log has not grown for {STALLED_MS_MAX // 1_000} s; "
                    "see `weir doctor`"
                )
            if not self._clock.sleep(_POLL_MS):
                return False

    def _check(self) -> bool:
        """Ask the log and remove what is answered; give whether the log has grown."""
        self._checked_ms = self._clock.now_ms()
        has_grown = False
        for partition, answered in self._log.answered().items():
            waiting = self._waiting[partition]
            news = answered - self._answered[partition]
            for _ in range(min(news, len(waiting))):
                waiting.popleft()
            self._answered[partition] = answered
            has_grown = has_grown or news > 0
        return has_grown
