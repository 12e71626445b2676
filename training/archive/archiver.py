"""Entry point of the archiver, which follows the logs into the archive.

Run ``python -m training.archive.archiver``. Reads all archived topics from where the tables end,
never by a consumer group, and commits by time. Nothing waits for it: it runs at a low priority,
and what it has not done yet it does later.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

import pyarrow as pa
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from schemas.errors import WeirError
from schemas.settings import Settings
from schemas.transaction import Limits
from training.archive.columns import Record, to_batches
from training.archive.store import ArchiveTable
from training.archive.tables import TABLES
from training.errors import ArchiveConflictError, LogUnreachableError, OtherLogError

logger = logging.getLogger(__name__)

READ_RECORDS_MAX = 5_000
"""Records taken from the client at once."""
READ_S = 0.5
"""Longest wait, s, in one call for records."""
ANSWER_S_MAX = 10.0
"""Longest wait, s, for the broker's answer about a topic."""
FILL_ATTEMPTS_MAX = 60
FILL_ATTEMPT_S = 2.0
"""How often, and how far apart in s, filling the archive is tried beside another archiver."""
NICENESS = 10
"""Decisions come first: the archiver takes the processor time that is left."""

Place = tuple[str, int]
"""Topic and partition."""


@dataclass
class _Pending:
    """Rows of one table that are not committed yet, and where they end."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    next_offsets: dict[int, int] = field(default_factory=dict)


class Archiver:
    """Follows the archived topics.

    Delivery: exactly once, see `ArchiveTable.append`. On any failure the process may end
    at once: what is not committed is read again.
    Memory: ``settings.archive_rows_max`` rows, and what the client has fetched ahead (16 MiB).
    """

    def __init__(self, settings: Settings) -> None:
        """Open the tables and take up each log where its table ends.

        Raises:
            LogUnreachableError: Kafka does not answer, or a topic is missing.
            OtherLogError: a table goes on beyond the end of its log.
            ArchiveUnreachableError: the storage failed.
        """
        self._limits = Limits.from_settings(settings)
        self._rows_max = settings.archive_rows_max
        self._commit_s = settings.archive_commit_ms / 1_000
        self._bootstrap = settings.kafka_bootstrap
        self._tables = {name: ArchiveTable(settings.archive_url, name) for name in TABLES}
        self._pending = {name: _Pending() for name in TABLES}
        self._due_s: float | None = None
        for table in self._tables.values():
            table.open_or_create()
        self._consumer = open_consumer(settings.kafka_bootstrap)
        self._ends: dict[Place, int] = {}
        self._starts = [self._start(place) for place in self._places()]
        self._consumer.assign(self._starts)

    def close(self) -> None:
        """Let go of Kafka; rows that are not committed are forgotten."""
        self._consumer.close()

    def step(self) -> int:
        """Take what has come, and commit when that is due.

        Blocks: `READ_S` for records, and for the commit.

        Returns:
            How many records were taken.
        """
        try:
            messages = self._consumer.consume(READ_RECORDS_MAX, READ_S)
        except KafkaException as error:
            raise self._unreachable(error) from error
        for topic, records in self._by_topic(messages).items():
            self._take(topic, records)
        if messages and self._due_s is None:
            self._due_s = time.monotonic() + self._commit_s
        rows = sum(pending.rows for pending in self._pending.values())
        if self._due_s is not None and (time.monotonic() >= self._due_s or rows >= self._rows_max):
            self.commit()
        return len(messages)

    def commit(self) -> None:
        """Make everything taken so far durable, one commit a table."""
        for name, pending in self._pending.items():
            if pending.rows:
                self._tables[name].append(pending.batches, next_offsets=pending.next_offsets)
                logger.debug("%s: %d rows", name, pending.rows)
                self._pending[name] = _Pending()
        self._due_s = None

    def is_at_the_end(self) -> bool:
        """Whether everything that was in the logs at the start has been taken."""
        # The position is negative before the first record; after it, it also passes offsets that
        # are missing from a log.
        positions = self._consumer.position(self._starts)
        return all(
            max(position.offset, start.offset) >= self._ends[start.topic, start.partition]
            for start, position in zip(self._starts, positions, strict=True)
        )

    def compact(self, *, keep_hours: int) -> None:
        """Compact every table; see `ArchiveTable.compact`."""
        for name, table in self._tables.items():
            logger.info("%s: %s", name, table.compact(keep_hours=keep_hours))

    def _take(self, topic: str, records: list[Record]) -> None:
        pending = self._pending[topic]
        pending.batches += to_batches(topic, records, limits=self._limits)
        pending.rows += len(records)
        for record in records:
            pending.next_offsets[record.partition] = record.offset + 1

    def _by_topic(self, messages: Iterable[Message]) -> Mapping[str, list[Record]]:
        records: dict[str, list[Record]] = {}
        for message in messages:
            if (error := message.error()) is not None:
                raise self._unreachable(KafkaException(error))
            records.setdefault(cast(str, message.topic()), []).append(as_record(message))
        return records

    def _places(self) -> list[Place]:
        return [
            (topic, partition)
            for topic in TABLES
            for partition in partitions_of(self._consumer, topic, bootstrap=self._bootstrap)
        ]

    def _start(self, place: Place) -> TopicPartition:
        topic, partition = place
        first, end = bounds_of(self._consumer, topic, partition, bootstrap=self._bootstrap)
        start = self._tables[topic].next_offset(partition)
        if start > end:
            raise OtherLogError(
                f"the archive of {topic} partition {partition} goes to offset {start}, the log at "
                f"{self._bootstrap} ends at {end}: they do not belong together; name another "
                "archive (WEIR_ARCHIVE_URL) or make this one anew with `weir archive rebuild`"
            )
        if start < first:
            logger.warning(
                "%s partition %d: offsets %d to %d are no longer in the log and are not archived",
                *(topic, partition, start, first),
            )
        self._ends[place] = end
        return TopicPartition(topic, partition, max(start, first))

    def _unreachable(self, error: KafkaException) -> LogUnreachableError:
        return LogUnreachableError(f"cannot read the logs at {self._bootstrap}: {error!s:.200}")


def open_consumer(bootstrap: str) -> Consumer:
    """Give a consumer that reads only where it is told to, and little ahead of us."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "weir-archiver",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            # Nobody waits for us: fewer and larger answers cost less.
            "fetch.min.bytes": 65_536,
            "fetch.wait.max.ms": 500,
            "queued.max.messages.kbytes": 16_384,
            "log_level": 0,
        }
    )


def as_record(message: Message) -> Record:
    """Take a client's message apart."""
    return Record(
        partition=cast(int, message.partition()),
        offset=cast(int, message.offset()),
        timestamp_ms=message.timestamp()[1],
        value=message.value(),
    )


def partitions_of(consumer: Consumer, topic: str, *, bootstrap: str) -> list[int]:
    """Name the partitions of a topic.

    Raises:
        LogUnreachableError: Kafka does not answer, or the topic is missing.
    """
    try:
        metadata = consumer.list_topics(topic, timeout=ANSWER_S_MAX).topics[topic]
    except KafkaException as error:
        raise LogUnreachableError(f"Kafka at {bootstrap}: {error!s:.200}") from error
    if metadata.error is not None:
        raise LogUnreachableError(f"topic {topic} at {bootstrap}: {metadata.error!s:.200}")
    return sorted(metadata.partitions)


def bounds_of(consumer: Consumer, topic: str, partition: int, *, bootstrap: str) -> tuple[int, int]:
    """Give the first offset of a partition and the one after its last.

    Raises:
        LogUnreachableError: Kafka does not answer.
    """
    place = TopicPartition(topic, partition)
    try:
        first, end = consumer.get_watermark_offsets(place, timeout=ANSWER_S_MAX)
    except KafkaException as error:
        raise LogUnreachableError(f"{topic} at {bootstrap}: {error!s:.200}") from error
    return first, end


def archive_to_end(settings: Settings) -> None:
    """Archive everything that is in the logs now, and return.

    Raises:
        ArchiveConflictError: another archiver is at work; call again.
    """
    archiver = Archiver(settings)
    try:
        while not archiver.is_at_the_end():
            archiver.step()
        archiver.commit()
    finally:
        archiver.close()


def fill_archive(settings: Settings) -> None:
    """Archive all that is in the logs now; a running archiver takes part.

    Raises:
        ArchiveConflictError: the other archiver wins again and again.
        LogUnreachableError: Kafka does not answer.
    """
    for attempt in range(FILL_ATTEMPTS_MAX):
        try:
            archive_to_end(settings)
            break
        except ArchiveConflictError:
            # The archiver of the stack commits as well: whoever loses goes on from there.
            if attempt == FILL_ATTEMPTS_MAX - 1:
                raise
            time.sleep(FILL_ATTEMPT_S)


def follow(settings: Settings, stop: threading.Event) -> None:
    """Archive until told to stop; compact now and then."""
    archiver = Archiver(settings)
    logger.info("following %s into %s", ", ".join(TABLES), settings.archive_url)
    compact_s = time.monotonic() + settings.archive_compact_s
    try:
        while not stop.is_set():
            archiver.step()
            if time.monotonic() >= compact_s:
                archiver.commit()
                archiver.compact(keep_hours=settings.archive_keep_h)
                compact_s = time.monotonic() + settings.archive_compact_s
        archiver.commit()
    finally:
        archiver.close()


def main() -> int:
    """Run until SIGTERM; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.nice(NICENESS)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        follow(Settings(), stop)
    except WeirError as error:
        logger.error("%s: %s", type(error).__name__, error)  # noqa: TRY400 - its text is enough
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
