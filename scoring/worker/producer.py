"""The Kafka producer of the worker: librdkafka, idempotent, every acknowledgement awaited.

`KafkaSink` is the `RecordSink`. Faust's own producer manages 1,360 records/s one by one; this
one takes a batch in one go. Owns delivery settings and the thread that serves delivery reports;
knows nothing of what the records say.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from confluent_kafka import KafkaError, Message, Producer

from schemas.topics import LIBRDKAFKA_PARTITIONER
from scoring.core.errors import DeliveryError
from scoring.core.ports import OutgoingRecord

DELIVERY_TIMEOUT_MS = 30_000
"""Longest wait for an acknowledgement, ms, retries included. A broker that restarts is back
sooner; past it the worker ends uncommitted and the supervisor starts it again."""
LINGER_MS = 1
"""How long librdkafka waits, ms, to send records of a batch together."""
POLL_S = 0.1
"""How often the report thread looks up, in seconds, when there is nothing to report."""


class KafkaSink:
    """Writes batches to Kafka. `send` may be called from one event loop only."""

    def __init__(self, *, bootstrap: str) -> None:
        """Connect in the background; an absent broker shows at the first `send`.

        Args:
            bootstrap: Kafka's bootstrap servers.
        """
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": LINGER_MS,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "client.id": "weir-scorer",
            }
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._serve_reports, name="delivery-reports", daemon=True
        )
        self._thread.start()

    async def send(self, records: Sequence[OutgoingRecord]) -> None:
        """Write a batch and await its last acknowledgement; see the port for the contract."""
        if not records:
            return
        batch = _PendingBatch(len(records), asyncio.get_running_loop())
        for record in records:
            await self._produce(record, batch)
        await batch.done

    def close(self) -> None:
        """Stop serving reports. Records not acknowledged by now count as not delivered."""
        self._stopping.set()
        self._thread.join(timeout=2 * POLL_S)

    async def _produce(self, record: OutgoingRecord, batch: _PendingBatch) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                    timestamp=record.timestamp_ms,
                    on_delivery=batch.report,
                )
                return
            except BufferError:
                # The local queue is full; its records leave within the delivery timeout.
                await asyncio.sleep(POLL_S / 10)

    def _serve_reports(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(POLL_S)


class _PendingBatch:
    """Counts the reports of one batch down; its future is done at the last one."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._left = count
        self._error: KafkaError | None = None

    def report(self, error: KafkaError | None, _message: Message) -> None:
        # Runs in the report thread, one call after the other.
        self._error = self._error or error
        self._left -= 1
        if self._left == 0:
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if self.done.done():
            return
        if self._error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(
                DeliveryError(
                    f"the broker did not acknowledge a batch within {DELIVERY_TIMEOUT_MS} ms: "
                    f"{self._error!s:.200}; nothing of it is committed"
                )
            )
