"""Faust's Kafka consumer with half its cost: events go to the agent without four tasks each.

Faust hands each event over by ``wait_first(deliver, suspend)``, which starts four asyncio tasks
to be able to give up when a rebalance begins. While nothing is suspended the delivery does not
wait, so here it is awaited itself: 68 us of CPU an event instead of 133, all of Faust included.
Used by `worker`; knows nothing of scoring.
"""

from __future__ import annotations

from typing import Any

import faust
from faust.transport.drivers.aiokafka import Consumer


class DirectConsumer(Consumer):
    """Delivers at once while events flow; exactly as Faust does otherwise.

    A delivery that has to wait after all (the agent's queue is full) ends when the agent takes
    events, which goes on during a rebalance, or is cancelled when Faust stops fetching. An event
    delivered across a rebalance carries its generation, and the stream drops it by that.
    """

    async def wait_first(self, *waiting: Any, timeout: Any = None) -> Any:
        """Await the delivery alone if that is what is waited for, and nothing is suspended."""
        if len(waiting) == 2 and self.flow_active and self.app.flow_control.is_active():
            deliver, suspended = waiting
            suspended.close()
            await deliver
            return None
        return await super().wait_first(*waiting, timeout=timeout)


def use_direct_consumer(app: faust.App) -> None:
    """Let an application that is not started yet consume by `DirectConsumer`."""
    app.transport.Consumer = DirectConsumer  # type: ignore[misc] # a class variable, of one app
