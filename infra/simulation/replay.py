"""The past, streamed again: events in event-time order, no faster than the system takes them.

Two bounds make a replay give what live traffic gave. Labels go before every transaction that
may see them, acknowledged. And the partitions stay close to each other in event time: a
merchant's events come from all of them, and its features are exact for events up to a day late.
The caller brings a clock, a writer and the feature log's progress; tests bring their own.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

from features.definitions import LATENESS_MS
from infra.simulation.clock import Clock
from infra.simulation.event import Event
from infra.simulation.writer import EventWriter
from schemas.errors import RetryableError

IN_FLIGHT_MAX: Final = 10_000
DRIFT_MS_MAX: Final = LATENESS_MS // 2
"""Event time between the newest transaction sent and the oldest one not answered."""
STALLED_MS_MAX: Final = 60_000
SLICE_MS: Final = 3_600_000
"""Event time whose labels are sent together, ahead of its transactions: one flush a slice."""

_POLL_MS: Final = 20
_LOOK_MS: Final = 1_000


class StalledError(RetryableError):
    """The feature log does not move although transactions are waiting."""


class LogProgress(Protocol):
    """How far the system has come."""

    def answered(self) -> Mapping[int, int]:
        """Transactions answered, by their partition, since whenever the log began.

        Never falls. A transaction and its answer share the partition: both are keyed by user.
        """


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
        log: asked once a second, and often while a bound is reached and at the end.
        clock: what the waits are measured with.
        partition_of: of a transaction, by its key.
        in_flight_max: transactions sent and not answered, positive.
        drift_ms_max: event time between the newest one sent and the oldest not answered.
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
        # Event times sent and not answered, oldest first, by partition.
        self._waiting: dict[int, deque[int]] = {p: deque() for p in self._answered}
        self._looked_ms = clock.now_ms()

    @property
    def in_flight(self) -> int:
        """Sent and, when last looked, not answered."""
        return sum(len(waiting) for waiting in self._waiting.values())

    def enter(self, transaction: Event) -> bool:
        """Count one transaction, after waiting for room if there is none.

        Returns:
            False when the clock was stopped; the transaction is not counted then.

        Raises:
            StalledError: no answer for `STALLED_MS_MAX`.
        """
        if self._clock.now_ms() - self._looked_ms >= _LOOK_MS:
            self._look()
        # Down to 9/10 before going on, so that the log is asked once per tenth of the bound.
        has_room = self._has_room(transaction.due_ms, share=1.0) or self._wait_until(
            lambda: self._has_room(transaction.due_ms, share=0.9)
        )
        if not has_room:
            return False
        self._waiting[self._partition_of(transaction.key)].append(transaction.due_ms)
        return True

    def drain(self) -> bool:
        """Wait until everything sent is answered; False when the clock was stopped.

        Raises:
            StalledError: no answer for `STALLED_MS_MAX`.
        """
        return self._wait_until(lambda: not self.in_flight)

    def _has_room(self, event_time_ms: int, *, share: float) -> bool:
        if self.in_flight >= self._in_flight_max * share:
            return False
        oldest_ms = min((waiting[0] for waiting in self._waiting.values() if waiting), default=None)
        return oldest_ms is None or event_time_ms - oldest_ms <= self._drift_ms_max * share

    def _wait_until(self, is_over: Callable[[], bool]) -> bool:
        moved_ms = self._clock.now_ms()
        while True:
            if self._look():
                moved_ms = self._clock.now_ms()
            if is_over():
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
        """Ask the log, and forget what is answered; whether it has moved since last asked."""
        self._looked_ms = self._clock.now_ms()
        has_moved = False
        for partition, answered in self._log.answered().items():
            waiting = self._waiting[partition]
            news = answered - self._answered[partition]
            for _ in range(min(news, len(waiting))):
                waiting.popleft()
            self._answered[partition] = answered
            has_moved = has_moved or news > 0
        return has_moved


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
    on_progress: Callable[[Progress], None] = lambda _: None,
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


def _send_transactions(part: list[Event], *, writer: EventWriter, gate: Gate, clock: Clock) -> int:
    """Send a slice's transactions; how many, fewer than all when the clock was stopped."""
    sent = 0
    for event in part:
        if event.is_transaction:
            if not gate.enter(event):
                return sent
            writer.write(event, timestamp_ms=clock.now_ms())
            sent += 1
    return sent


def _slices(events: Iterable[Event], *, slice_ms: int) -> Iterator[list[Event]]:
    for _, part in groupby(events, key=lambda event: event.due_ms // slice_ms):
        yield list(part)
