"""Sends records so that their topic takes them: what does not fit becomes a dead letter.

Owns what happens to a decision or a dead letter that Kafka refuses because of its size, a missing
key or its timestamp; such a record would stop the scorer otherwise, at each start again. Knows no
Kafka client: `KafkaProducer` delivers, ``schemas.shortened_dead_letter`` shortens. ``parts.py``
puts them together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from schemas.dead_letter import dead_letter_headers
from schemas.errors import InvalidEventError
from schemas.shortened_dead_letter import DeadLetterParts, record_size, shortened
from scoring.core.errors import DeliveryError
from scoring.core.ports import OutgoingRecord
from scoring.worker.feature_log import STAGE

logger = logging.getLogger(__name__)

RESERVE_SHARE = 64
"""A broker that compresses records again may make random bytes larger by less than this share."""


class RecordProducer(Protocol):
    """Writes batches; `KafkaProducer`, or a fake."""

    async def deliver(self, records: Sequence[OutgoingRecord]) -> list[OutgoingRecord]:
        """Write records and give back those that were refused, alone or together."""
        ...


class FittingSink:
    """A `RecordSink` for topics with a limit."""

    def __init__(
        self,
        producer: RecordProducer,
        *,
        dead_letters: str,
        bytes_max: Callable[[str], int],
        on_too_large: Callable[[], None],
    ) -> None:
        """Store the parts.

        Args:
            producer: writes the records.
            dead_letters: the topic of the dead letters.
            bytes_max: gives ``max.message.bytes`` of a topic; blocks, and is called in a thread.
            on_too_large: called once for each record that becomes a dead letter.
        """
        self._producer = producer
        self._dead_letters = dead_letters
        self._bytes_max = bytes_max
        self._on_too_large = on_too_large

    async def send(self, records: Sequence[OutgoingRecord]) -> None:
        """Write a batch; the port has the contract.

        If the broker refuses a request because of what is in it, the halves of it are sent one
        after the other, until a record is refused alone.
        """
        refused = await self._producer.deliver(records)
        if not refused:
            return
        if len(records) == 1:
            await self._send_fitting(records[0])
            return
        middle = (len(refused) + 1) // 2
        await self.send(refused[:middle])
        await self.send(refused[middle:])

    async def _send_fitting(self, record: OutgoingRecord) -> None:
        limit = await asyncio.to_thread(self._bytes_max, record.topic)
        if record.topic != self._dead_letters:
            logger.warning("%s", _refusal(record, limit))
            self._on_too_large()
            await self.send([_dead_letter(record, limit, topic=self._dead_letters)])
            return
        fitting = shortened(_parts(record), bytes_max=limit - limit // RESERVE_SHARE)
        smaller = record._replace(
            # A compacted topic needs a key; a key of its own keeps compaction from deleting it.
            key=_place(record) if fitting.key is None else fitting.key,
            headers=list(fitting.headers),
            value=fitting.value,
        )
        # The topic may refuse a timestamp that `features` has accepted; the present time it takes.
        for timestamp_ms in (record.timestamp_ms, 0):
            if not await self._producer.deliver([smaller._replace(timestamp_ms=timestamp_ms)]):
                return
        raise DeliveryError(
            f"topic {record.topic} refuses a dead letter of {record_size(fitting)} bytes with "
            f"max.message.bytes={limit}; raise it to at least 8192"
        )


def _dead_letter(record: OutgoingRecord, limit: int, *, topic: str) -> OutgoingRecord:
    reason = dead_letter_headers(
        topic=record.source.topic,
        partition=record.source.partition,
        offset=record.source.offset,
        stage=STAGE,
        error=_refusal(record, limit),
    )
    return record._replace(topic=topic, headers=[*record.headers, *reason])


def _place(record: OutgoingRecord) -> bytes:
    source = record.source
    return f"{source.topic}/{source.partition}/{source.offset}".encode()


def _refusal(record: OutgoingRecord, limit: int) -> InvalidEventError:
    return InvalidEventError(
        f"a record of {record_size(_parts(record))} bytes",
        f"does not fit topic {record.topic}, max.message.bytes={limit}; made from "
        f"{record.source.topic} partition {record.source.partition} offset {record.source.offset}",
    )


def _parts(record: OutgoingRecord) -> DeadLetterParts:
    headers = [
        (name, value.encode() if isinstance(value, str) else value)
        for name, value in record.headers
    ]
    return DeadLetterParts(record.key, headers, record.value)
