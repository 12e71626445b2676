"""Live traffic: sends each event when it is due, whatever the system does with it.

Open loop: due times are fixed by the generator and never wait for an answer, so a slow system
shows as latency, not as less traffic.
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

    A transaction's Kafka timestamp is the time it was due, so that lateness of this pump counts
    as latency. A label's is the time it was sent: it may have been due before the traffic began.

    Args:
        events: by due time.
        writer: flushed at the end.
        clock: its stop ends the traffic.
        on_sent: called before each event is handed over, in this thread.

    Raises:
        DeliveryError: the broker did not take an event.
    """
    for event in events:
        if not clock.wait_until(event.due_ms):
            break
        on_sent(event)
        sent_ms = event.due_ms if event.is_transaction else clock.now_ms()
        writer.write(event, timestamp_ms=sent_ms)
    writer.flush()
