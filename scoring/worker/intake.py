"""Takes messages from Faust, forms batches, has them scored, and acknowledges the messages.

Owns which rows form a batch and when a message is acknowledged. Faust commits acknowledged offsets
only, so the acknowledgement decides what may be committed. Knows nothing of scoring; ``app.py``
connects it to Faust and to the `BatchScorer`.

**Delivery**: at least once. A message holds the records of one fetch of one partition. It is
acknowledged, in log order, after the broker has acknowledged all its decisions.

Faust's own iterators (faust-streaming 0.15.3) would lose events:

- An agent that raises, or that a rebalance or a stop cancels, *acknowledges* the event it was
  working on: `Stream.__aiter__` acknowledges in a ``finally``.
- ``take()`` does the same with a whole batch, in the ``finally`` around its ``yield``. It also
  forms batches by a timer, which adds its whole ``within`` to the latency.

So the agent uses ``noack()`` and only puts messages into the intake. While a batch is with the
broker, the next one accumulates, so batches grow with the load.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from scoring.worker.batch import BatchScorer

BATCH_LINGER_S_MAX = 0.003
"""Longest time that the first message of a small batch waits for more, s. The broker answers a
fetch as soon as the first partition has a row; without a wait the rows of the others form a second
batch, which starts when the first one is acknowledged."""
BATCH_LINGER_ROWS_MAX = 64
"""A batch with this many rows does not wait for more."""
BATCH_LINGER_ROWS_MIN = 8
"""After a batch with fewer rows the next one does not wait: at such a rate few rows would come
meanwhile. Measured alone at 200 rows/s: p50 12 ms with 3 ms always, 7 ms without; at 500 and 2,000
rows/s no difference."""


class Intake:
    """A queue of messages between Faust's agent and the scoring loop. One event loop only.

    A message holds the records of one fetch, see `direct_consumer.Fetched`.

    Attributes:
        wanted: set while the scoring loop waits for a batch. Records are taken from the client only
            then: those that arrive during a batch wait there and form one larger batch.
    """

    def __init__(self, *, batch_max: int, linger_s: float = 0.0) -> None:
        """Start empty.

        Args:
            batch_max: most rows of one batch.
            linger_s: longest time that the first message of a small batch waits for more, s; the
                wait grows with the rows of the batch before.
        """
        self.wanted = asyncio.Event()
        self._batch_max = batch_max
        self._linger_s = linger_s
        self._queue: deque[Any] = deque()
        self._rows = 0
        self._rows_before = 0
        self._has_messages = asyncio.Event()

    def put(self, event: Any) -> None:
        """Add a message."""
        self._queue.append(event)
        self._rows += len(event.message.records)
        self._has_messages.set()

    async def take_batch(self) -> list[Any]:
        """Remove and return queued messages in order: at most ``batch_max`` rows, or one message.

        Blocks: until there is a message.
        """
        if self._rows < self._batch_max:
            self.wanted.set()
        await self._has_messages.wait()
        if self._rows < min(self._batch_max, BATCH_LINGER_ROWS_MAX) and (wait_s := self._wait_s()):
            await asyncio.sleep(wait_s)
        self.wanted.clear()
        events: list[Any] = []
        rows = 0
        while self._queue:
            more = len(self._queue[0].message.records)
            if events and rows + more > self._batch_max:
                break
            events.append(self._queue.popleft())
            rows += more
        self._rows -= rows
        self._rows_before = rows
        if not self._queue:
            self._has_messages.clear()
        return events

    def _wait_s(self) -> float:
        """Give the wait of a small batch: the more rows the batch before had, the longer."""
        if self._rows_before < BATCH_LINGER_ROWS_MIN:
            return 0.0
        return self._linger_s * min(1.0, self._rows_before / BATCH_LINGER_ROWS_MAX)


class ScoredRows:
    """How many rows this process has scored and acknowledged; the watchdog's thread reads it."""

    total = 0


async def score_forever(intake: Intake, scorer: BatchScorer, scored: ScoredRows) -> None:
    """Take a batch, score it, acknowledge it, and repeat. Does not return.

    Delivery: messages are acknowledged in order, after the broker has all their decisions.
    On failure: raises any error of the scorer; the messages of its batch stay unacknowledged.
    """
    while True:
        events = await intake.take_batch()
        records = [record for event in events for record in event.message.records]
        await scorer.score(records)
        for event in events:
            event.ack()
        scored.total += len(records)
