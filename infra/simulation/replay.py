"""Replays past events in the order of event time, no faster than the system processes them.

Two rules make a replay give the values that live traffic gave. First, a label is acknowledged by
the broker before any transaction that may see it is sent. Second, the partitions stay close to each
other in event time (`gate.py`), because a merchant's events come from all of them and its features
are exact only for events up to a day late. The caller gives a clock, a writer and a gate.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from infra.simulation.clock import Clock
from infra.simulation.event import Event
from infra.simulation.gate import Gate
from infra.simulation.writer import EventWriter

SLICE_MS: Final = 3_600_000
"""Labels of this much event time are sent together before its transactions, with one flush."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a replay.

    Attributes:
        transactions: number of transactions sent.
        labels: number of labels sent.
        in_flight: number of transactions sent and not answered, as of the last look at the log.
        event_time_ms: due time of the newest event sent, 0 before the first.
    """

    transactions: int = 0
    labels: int = 0
    in_flight: int = 0
    event_time_ms: int = 0


class Pace:
    """Maps event time to wall time.

    Args:
        clock: the wall time.
        speed: event time per wall time; None for as fast as the system processes the events.
    """

    def __init__(self, *, clock: Clock, speed: float | None) -> None:
        self._clock = clock
        self._speed = speed
        self._start: tuple[int, int] | None = None

    @property
    def is_unbounded(self) -> bool:
        """Whether only the system itself limits the speed."""
        return self._speed is None

    def wait_for(self, event_time_ms: int) -> bool:
        """Wait until an event is due; False if the clock was stopped."""
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
    """Send events in order within the limits of gate and pace, and wait for the last answer.

    Args:
        events: ordered by due time, a label before a transaction of the same time.
        writer: gives records the wall clock as their Kafka timestamp; the event time is in the
            body.
        gate: limits the transactions in flight.
        pace: limits the speed.
        clock: stopping it ends the replay early.
        on_progress: called about once for each slice of event time.

    Returns:
        What was sent.

    Raises:
        StalledError: the system does not answer.
        DeliveryError: the broker did not accept an event.
    """
    done = Progress()
    # A paced replay sends each label at its own time, an unbounded one a slice of labels ahead.
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
    """Send the transactions of a slice and give their number; fewer if the clock was stopped."""
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
