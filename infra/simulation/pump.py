"""Live traffic: sends each event when it is due, however fast the system is.

Open loop: the generator fixes the due times and never waits for an answer, so a slow system has a
higher latency and not less traffic.
"""

from collections.abc import Callable, Iterable

from infra.simulation.clock import Clock
from infra.simulation.event import Event
from infra.simulation.writer import EventWriter


def pump(
    events: Iterable[Event],
    *,
    writer: EventWriter,
    clock: Clock,
    on_sent: Callable[[Event], None] = lambda _: None,
) -> None:
    """Send events at their due times until they end or the clock is stopped.

    The Kafka timestamp of a transaction is its due time, so that a late send counts as latency. The
    timestamp of a label is the time it was sent, because its due time may be before the start.

    Args:
        events: ordered by due time.
        writer: flushed at the end.
        clock: stopping it ends the traffic.
        on_sent: called in this thread before each event is written.

    Raises:
        DeliveryError: the broker did not accept an event.
    """
    for event in events:
        if not clock.wait_until(event.due_ms):
            break
        on_sent(event)
        sent_ms = event.due_ms if event.is_transaction else clock.now_ms()
        writer.write(event, timestamp_ms=sent_ms)
    writer.flush()
