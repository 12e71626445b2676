"""Ctrl-C and SIGTERM as a clock that stops, so that a command can finish what it has begun."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from infra.simulation.clock import WallClock


@contextmanager
def clock_until_interrupted() -> Iterator[WallClock]:
    """Give a clock that Ctrl-C and SIGTERM stop, so that sent events are still flushed."""
    clock = WallClock()
    before = {
        number: signal.signal(number, lambda *_: clock.stop())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield clock
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
