"""The past, streamed again: events in event-time order, no faster than the system takes them.

Two bounds make a replay give what live traffic gave. Labels go before every transaction that
may see them, acknowledged. And at most so many transactions are under way at once: partitions
then stay within days of each other in event time, which merchant features (delayed by 7 days)
bear. The caller brings a clock, a writer and the feature log's progress; tests bring their own.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

from infra.simulation.clock import Clock
from infra.simulation.event import Event
from infra.simulation.writer import EventWriter
from schemas.errors import RetryableError

IN_FLIGHT_MAX: Final = 10_000
STALLED_MS_MAX: Final = 60_000
SLICE_MS: Final = 3_600_000
"""Event time whose labels are sent together, ahead of its transactions: one flush a slice."""

_POLL_MS: Final = 20
_LOOK_MS: Final = 1_000


class StalledError(RetryableError):
    """The feature log does not move although transactions are waiting."""


class LogProgress(Protocol):
    """How far the system has come."""

    def answered(self) -> int:
        """Transactions answered since whenever the log began; never falls."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a replay stands.

    Attributes:
        transactions: sent so far.
        labels: sent so far.
        in_flight: sent and, when last looked, not yet answered.
        event_time_ms: due time of the newest event sent, 0 before the first.
    """

    transactions: int = 0
    labels: int = 0
    in_flight: int = 0
    event_time_ms: int = 0


class Gate:
    """Lets through as many transactions as the system has room for.

    Args:
        log: asked once a second, and often while the bound is reached and at the end.
        clock: what the waits are measured with.
        in_flight_max: transactions sent and not answered, positive.
    """

    def __init__(self, *, log: LogProgress, clock: Clock, in_flight_max: int) -> None:
        self._log = log
        self._clock = clock
        self._in_flight_max = in_flight_max
        self._before = log.answered()
        self._sent = 0
        self._answered = 0
        self._looked_ms = clock.now_ms()

    @property
    def in_flight(self) -> int:
        """Sent and, when last looked, not answered."""
        return max(0, self._sent - self._answered)

    def enter(self) -> bool:
        """Count one transaction, after waiting for room if there is none.

        Returns:
            False when the clock was stopped.

        Raises:
            StalledError: no answer for `STALLED_MS_MAX`.
        """
        self._sent += 1
        if self._clock.now_ms() - self._looked_ms >= _LOOK_MS:
            self._look()
        if self.in_flight < self._in_flight_max:
            return True
        # Down to 9/10 before going on, so that the log is asked once per tenth, not per event.
        return self._wait_for(in_flight=self._in_flight_max * 9 // 10)

    def drain(self) -> bool:
        """Wait until everything sent is answered; False when the clock was stopped.

        Raises:
            StalledError: no answer for `STALLED_MS_MAX`.
        """
        return self._wait_for(in_flight=0)

    def _wait_for(self, *, in_flight: int) -> bool:
        moved_ms = self._clock.now_ms()
        while True:
            if self._look():
                moved_ms = self._clock.now_ms()
            if self.in_flight <= in_flight:
                return True
            if self._clock.now_ms() - moved_ms >= STALLED_MS_MAX:
                raise StalledError(
                    f"the velocity job does not answer: {self.in_flight} transactions are waiting "
                    f"and the feature log has not moved for {STALLED_MS_MAX // 1_000} s; "
                    "see `weir doctor`"
                )
            if not self._clock.sleep(_POLL_MS):
                return False

    def _look(self) -> bool:
        """Ask the log; whether it has moved since last asked."""
        before, self._answered = self._answered, self._log.answered() - self._before
        self._looked_ms = self._clock.now_ms()
        return self._answered > before


class Pace:
    """Maps event time to wall time.

    Args:
        clock: what wall time is.
        speed: event time over wall time; None is as fast as the system takes it.
    """

    def __init__(self, *, clock: Clock, speed: float | None) -> None:
        self._clock = clock
        self._speed = speed
        self._start: tuple[int, int] | None = None

    @property
    def is_unbounded(self) -> bool:
        """Whether nothing but the system itself slows the replay."""
        return self._speed is None

    def wait_for(self, event_time_ms: int) -> bool:
        """Wait until an event is due; False when the clock was stopped."""
        if self._speed is None:
            return self._clock.sleep(0)
        if self._start is None:
            self._start = (event_time_ms, self._clock.now_ms())
        first_ms, began_ms = self._start
        return self._clock.wait_until(began_ms + (event_time_ms - first_ms) / self._speed)


def replay(
    events: Iterable[Event],
    *,
    writer: EventWriter,
    gate: Gate,
    pace: Pace,
    clock: Clock,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Send events in order, paced and bounded, and wait for the last answer.

    Args:
        events: by due time, a label before a transaction of the same time.
        writer: records get the wall clock as their Kafka timestamp, the event time stays in
            the body.
        gate: bounds what is under way.
        pace: bounds the speed.
        clock: its stop ends the replay early.
        on_progress: called about once per slice of event time.

    Returns:
        What was sent.

    Raises:
        StalledError: the system does not answer.
        DeliveryError: the broker did not take an event.
    """
    done = Progress()
    # A paced replay sends each label at its own time; only an unbounded one sends them ahead.
    for part in _slices(events, slice_ms=SLICE_MS if pace.is_unbounded else 1):
        labels = [event for event in part if not event.is_transaction]
        if not pace.wait_for(part[0].due_ms):
            break
        for label in labels:
            writer.write(label, timestamp_ms=clock.now_ms())
        if labels:
            writer.flush()
        sent = _send_transactions(part, writer=writer, gate=gate, clock=clock)
        done = Progress(
            transactions=done.transactions + sent,
            labels=done.labels + len(labels),
            in_flight=gate.in_flight,
            event_time_ms=part[-1].due_ms,
        )
        on_progress(done)
        if sent < len(part) - len(labels):
            break
    writer.flush()
    gate.drain()
    return done


def _send_transactions(
    part: list[Event], *, writer: EventWriter, gate: Gate, clock: Clock
) -> int:
    """Send a slice's transactions; how many, fewer than all when the clock was stopped."""
    sent = 0
    for event in part:
        if event.is_transaction:
            if not gate.enter():
                return sent
            writer.write(event, timestamp_ms=clock.now_ms())
            sent += 1
    return sent


def _slices(events: Iterable[Event], *, slice_ms: int) -> Iterator[list[Event]]:
    for _, part in groupby(events, key=lambda event: event.due_ms // slice_ms):
        yield list(part)
