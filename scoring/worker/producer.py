"""The Kafka producer of the worker: librdkafka, idempotent, waits for all acknowledgements.

Faust's own producer reaches 1,360 records/s, one record at a time; this one sends whole batches.
Owns the delivery settings and the thread that serves delivery reports; does not know what the
records contain. `FittingSink` calls it and implements the port `RecordSink`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from schemas.topics import LIBRDKAFKA_PARTITIONER, RECORD_BYTES_MAX, ZSTD_LEVEL
from scoring.core.errors import DeliveryError
from scoring.core.ports import OutgoingRecord

DELIVERY_TIMEOUT_MS = 30_000
"""Longest wait for an acknowledgement, ms, retries included; longer than a restart of the broker.
After it the worker ends without a commit and the supervisor restarts it."""
LINGER_MS = 0.1
"""Linger time of librdkafka, ms. The decisions of a batch come together, so a longer one joins no
more of them: with 1 ms the topic had the same bytes an event at 500 events/s, and at 200 events/s
the median from event to decision was 0.3 ms longer (measured)."""
POLL_S = 0.1
"""Longest wait of the report thread for delivery reports, s, before it checks whether to stop."""
ANSWER_S_MAX = 10.0
"""Longest wait for a topic's configuration, s."""
_REFUSED = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        # Sent in one request with an invalid record.
        KafkaError._INVALID_DIFFERENT_RECORD,  # noqa: SLF001 - its name
    }
)
"""Errors that say that a topic's settings refuse a record, however often it is sent."""


class KafkaProducer:
    """Writes batches to Kafka. `deliver` may be called from one event loop only."""

    def __init__(self, *, bootstrap: str, compression: str) -> None:
        """Connect in the background; if the broker is down, the first `deliver` fails.

        Args:
            bootstrap: Kafka's bootstrap servers.
            compression: none, lz4 or zstd.
        """
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": LINGER_MS,
                "compression.type": compression,
                "compression.level": ZSTD_LEVEL,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "message.max.bytes": RECORD_BYTES_MAX,
                "partitioner": LIBRDKAFKA_PARTITIONER,
                "client.id": "weir-scorer",
                # Of a record that was written no report is made: 0.7 us a record (measured).
                "delivery.report.only.error": True,
            }
        )
        self._waiting: list[_PendingBatch] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._serve_reports, name="delivery-reports", daemon=True
        )
        self._thread.start()

    async def deliver(self, records: Sequence[OutgoingRecord]) -> list[OutgoingRecord]:
        """Write a batch and wait for its last acknowledgement.

        Returns:
            The records that were not written because their topic's settings refuse them, or were
            sent in one request with such a record or with too many others: they are too large, lack
            the key that a compacted topic needs, or have a timestamp that it does not accept.

        Raises:
            DeliveryError: a record was not acknowledged for another reason.
        """
        if not records:
            return []
        batch = _PendingBatch(asyncio.get_running_loop())
        for record in records:
            await self._produce(record, batch)
        self._waiting.append(batch)
        try:
            # The last acknowledgement may have been served already.
            self._finish_if_delivered()
            await batch.done
        finally:
            self._waiting.remove(batch)
        return batch.refused

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
                    on_delivery=partial(batch.report, record),
                )
                return
            except KafkaException as error:
                # The client itself refuses a record that is larger than its limit.
                batch.report(record, error.args[0])
                return
            except BufferError:
                # The local queue is full; it drains within the delivery timeout.
                await asyncio.sleep(POLL_S / 10)

    def _serve_reports(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(POLL_S)
            self._finish_if_delivered()

    def _finish_if_delivered(self) -> None:
        # A batch waits only after all its records were handed over, so first who waits, then the
        # length: it counts records without an acknowledgement, and reports that were not served.
        waiting = [*self._waiting]
        if waiting and len(self._producer) == 0:
            for batch in waiting:
                batch.finish()


def topic_bytes_max(bootstrap: str, topic: str) -> int:
    """Ask the broker for ``max.message.bytes`` of a topic. Blocks: up to `ANSWER_S_MAX`.

    Raises:
        DeliveryError: no answer.
    """
    resource = ConfigResource(ResourceType.TOPIC, topic)
    client = AdminClient({"bootstrap.servers": bootstrap, "client.id": "weir-scorer"})
    try:
        (answer,) = client.describe_configs([resource], request_timeout=ANSWER_S_MAX).values()
        return min(int(answer.result()["max.message.bytes"].value), RECORD_BYTES_MAX)
    except KafkaException as error:
        raise DeliveryError(
            f"the broker did not give max.message.bytes of topic {topic}: {error!s:.200}"
        ) from error


class _PendingBatch:
    """Collects the errors of one batch, and completes its future at the end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self.refused: list[OutgoingRecord] = []
        self._error: KafkaError | None = None
        # Reports come from the report thread, and from the event loop for refused records.
        self._lock = threading.Lock()

    def report(self, record: OutgoingRecord, error: KafkaError, _message: Any = None) -> None:
        with self._lock:
            if error.code() in _REFUSED:
                self.refused.append(record)
            else:
                self._error = self._error or error

    def finish(self) -> None:
        """Complete the future; may be called again, and from any thread."""
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
