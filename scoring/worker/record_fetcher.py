"""Fetches the records of the feature log with librdkafka, for `DirectConsumer`.

aiokafka, Faust's client, parses each answer of the broker in Python: a third of the scorer's CPU at
200 events/s, in a thread that competes with scoring for the interpreter. librdkafka fetches,
decompresses and parses without the interpreter. aiokafka keeps the membership of the group, its
heartbeats and its commits; this module only reads the partitions and offsets that it is given. It
knows nothing of Faust.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from clients.kafka import headers_of, open_consumer
from scoring.worker.feature_log import Record

logger = logging.getLogger(__name__)

FETCH_WAIT_MS = 500
"""How long the broker may wait for a first record before it answers a fetch, ms."""
QUEUE_BYTES_MAX = 16 * 1024 * 1024
"""How much is fetched ahead of the scorer, bytes."""
_DAMAGED = frozenset(
    {
        KafkaError._BAD_MSG,  # noqa: SLF001 - its name
        KafkaError._BAD_COMPRESSION,  # noqa: SLF001 - its name
        KafkaError.INVALID_MSG,
    }
)
"""Errors after which the client goes on behind the records that it could not read."""
Places = Mapping[tuple[str, int], int | None]
"""Offsets by topic and partition; None for the first record that the log has."""


class _Question(NamedTuple):
    """A caller that waits for the first record."""

    answer: asyncio.Future[Message | None]
    timeout_s: float


class RecordFetcher:
    """Reads assigned partitions, each in the order of its log.

    All methods are for one event loop. Only committed records are read.
    """

    def __init__(self, bootstrap: str, *, records_max: int) -> None:
        """Make a client without partitions; connects in the background.

        Args:
            bootstrap: Kafka's bootstrap servers.
            records_max: most records that one call gives.
        """
        self._records_max = records_max
        self._consumer = open_consumer(
            bootstrap,
            fetch_wait_ms=FETCH_WAIT_MS,
            queue_bytes_max=QUEUE_BYTES_MAX,
            offset_reset="earliest",
            checks_crcs=True,
        )
        self._is_closed = False
        # What the thread waits for. It is read to the end, even if its caller was cancelled: the
        # record that it brings is not in the client any more.
        self._first: asyncio.Future[Message | None] | None = None
        self._questions: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._answer, name="record-fetcher", daemon=True)
        self._thread.start()

    async def start_at(self, places: Places) -> None:
        """Read these partitions from these offsets on, and no other ones.

        If the log does not have an offset any more, its first record is next. A caller of
        `next_records` that still waits gets nothing. Takes as long as it would have waited, because
        no wait may begin with the old places and end with the first record of the new ones.
        """
        first, self._first = self._first, None
        if first is not None:
            await asyncio.shield(first)
        self._consumer.assign(
            [
                TopicPartition(topic, partition, OFFSET_BEGINNING if offset is None else offset)
                for (topic, partition), offset in places.items()
            ]
        )

    async def next_records(self, timeout_s: float) -> list[Record]:
        """Give what has arrived, or wait for the first record; empty if none comes in time.

        Args:
            timeout_s: longest wait, s.

        Raises:
            KafkaException: records were left out, because the log is damaged there.
        """
        if self._is_closed:
            return []
        messages = [] if self._first is not None else self._take(self._records_max)
        if not messages:
            messages = await self._wait(timeout_s)
        return [_to_record(message) for message in messages if _is_record(message)]

    async def close(self) -> None:
        """Stop reading. Takes as long as a caller of `next_records` still waits."""
        self._is_closed = True
        self._questions.put(None)
        await asyncio.to_thread(self._thread.join)

    async def _wait(self, timeout_s: float) -> list[Message]:
        if self._first is None:
            self._first = asyncio.get_running_loop().create_future()
            self._questions.put(_Question(self._first, timeout_s))
        first = self._first
        message = await asyncio.shield(first)
        if first is not self._first:
            return []
        self._first = None
        return [] if message is None else [message, *self._take(self._records_max - 1)]

    def _take(self, count_max: int) -> list[Message]:
        return [] if self._is_closed else self._consumer.consume(count_max, 0)

    def _answer(self) -> None:
        # In a thread, because the client has nothing to wait for in an event loop. `poll` returns
        # at the first record; `consume` would wait until it has as many as it is asked for.
        while (question := self._questions.get()) is not None:
            message = self._consumer.poll(question.timeout_s)
            # The loop is closed if the worker has stopped meanwhile.
            with suppress(RuntimeError):
                question.answer.get_loop().call_soon_threadsafe(question.answer.set_result, message)
        self._consumer.close()


def _is_record(message: Message) -> bool:
    error = message.error()
    if error is None:
        return True
    if error.code() in _DAMAGED:
        raise KafkaException(error)
    # The client goes on by itself; if it does not, the watchdog ends the process.
    logger.warning(
        "%s partition %s cannot be read now: %s", message.topic(), message.partition(), error.str()
    )
    return False


def _to_record(message: Message) -> Record:
    return Record(
        cast(str, message.topic()),
        cast(int, message.partition()),
        cast(int, message.offset()),
        message.timestamp()[1],
        message.key(),
        message.value(),
        headers_of(message),
    )
