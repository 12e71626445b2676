"""The Kafka producer of the worker: librdkafka, idempotent, waits for all acknowledgements.

`KafkaSink` implements the port `RecordSink`. Faust's own producer reaches 1,360 records/s, one
record at a time; this one sends whole batches. Owns the delivery settings and the thread that
serves delivery reports; does not know what the records contain.
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
"""Longest wait for an acknowledgement, ms, retries included; longer than a restart of the broker.
After it the worker ends without a commit and the supervisor restarts it."""
LINGER_MS = 1
"""Linger time of librdkafka, ms."""
POLL_S = 0.1
"""Longest wait of the report thread for delivery reports, s, before it checks whether to stop."""


class KafkaSink:
    """Writes batches to Kafka. `send` may be called from one event loop only."""

    def __init__(self, *, bootstrap: str) -> None:
        """Connect in the background; if the broker is down, the first `send` fails.

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
        """Write a batch and wait for its last acknowledgement; the port has the contract."""
        if not records:
            return
        batch = _PendingBatch(len(records), asyncio.get_running_loop())
        for record in records:
            await self._produce(record, batch)
        await batch.done

    def close(self) -> None:
        """Stop serving reports. Records that are not acknowledged yet count as undelivered."""
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
                # The local queue is full; it drains within the delivery timeout.
                await asyncio.sleep(POLL_S / 10)

    def _serve_reports(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(POLL_S)


class _PendingBatch:
    """Counts the delivery reports of one batch; the last one completes its future."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._left = count
        self._error: KafkaError | None = None

    def report(self, error: KafkaError | None, _message: Message) -> None:
        # Runs in the report thread only, so there is no race.
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
                    f"{self._error!s:.200}; its offsets are not committed"
                )
            )
