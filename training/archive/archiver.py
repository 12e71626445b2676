"""The archiver: follows the logs and appends them to the archive.

Run ``python -m training.archive.archiver``. Reads all archived topics from the offsets at which
the tables end, new partitions included, without a consumer group, and commits at intervals. Refuses
another log than the one that the archive follows. Nothing waits for it, so it runs at a low
priority and catches up when the machine is idle.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, KafkaException, Message, TopicPartition

from clients.kafka import open_consumer, to_record, unreachable
from clients.kafka_log import OffsetRange, offset_ranges
from clients.log_record import Record
from clients.program import run_until_stopped
from clients.topic_description import NewPartitions, TopicDescriptions
from schemas.settings import Settings
from schemas.transaction import Limits
from training.archive.columns import to_batches
from training.archive.followed_log import check_identity, follow_log
from training.archive.store import ArchiveTable
from training.archive.tables import TABLES
from training.errors import ArchiveConflictError

logger = logging.getLogger(__name__)

PENDING_BYTES_MAX = 128 * 1024 * 1024
"""So many bytes that are not committed yet are committed at once."""
READ_RECORDS_MAX = 5_000
"""Records taken from the client at once."""
READ_S = 0.5
"""Longest wait, s, in one call for records."""
FILL_ATTEMPTS_MAX = 60
FILL_ATTEMPT_S = 2.0
"""How often, and how far apart in s, `fill_archive` tries while another archiver commits."""
NICENESS = 10
"""Decisions come first: the archiver takes the processor time that is left."""
FETCH_BYTES_MIN: Final = 65_536
FETCH_WAIT_MS: Final = 500
"""Nothing waits for the archiver: fewer and larger fetches cost less."""
QUEUE_BYTES_MAX: Final = 16 * 1024 * 1024
"""How much the client may fetch ahead, bytes."""


@dataclass
class _Pending:
    """Rows of one table that are not committed yet, and the offsets after them."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    next_offsets: dict[int, int] = field(default_factory=dict)


class Archiver:
    """Follows the archived topics.

    Delivery: exactly once, see `ArchiveTable.append`. On any failure the process may end
    at once: what is not committed is read again.
    Memory: ``settings.archive_rows_max`` rows or `PENDING_BYTES_MAX`, and what the client fetches
    ahead (16 MiB).
    """

    def __init__(
        self, settings: Settings, *, tables: Mapping[str, ArchiveTable] | None = None
    ) -> None:
        """Open the tables and continue each log where its table ends.

        Args:
            settings: where Kafka and the archive are.
            tables: to fill, by topic; those of the archive if it is None.

        Raises:
            KafkaUnreachableError: Kafka does not answer, or a topic is missing.
            OtherLogError: a table follows another log, or goes beyond the end of its log.
            ArchiveConflictError: another archiver has just opened a new table.
            ArchiveUnreachableError: the storage failed.
        """
        self._limits = Limits.from_settings(settings)
        self._rows_max = settings.archive_rows_max
        self._commit_s = settings.archive_commit_ms / 1_000
        self._bootstrap = settings.kafka_bootstrap
        self._url = settings.archive_url
        self._tables = tables or {name: ArchiveTable(self._url, name) for name in TABLES}
        self._pending = {name: _Pending() for name in TABLES}
        # By table and partition, the offset up to which this archiver has found or committed rows.
        self._reached: dict[str, dict[int, int]] = {name: {} for name in TABLES}
        self._due_s: float | None = None
        self._topics = TopicDescriptions(self._bootstrap, *TABLES)
        for table in self._tables.values():
            table.open_or_create()
        # After the tables, which another archiver may be filling, so that they cannot be ahead.
        described = self._topics.ask()
        ranges = offset_ranges(self._bootstrap, *TABLES)
        for name, table in self._tables.items():
            follow_log(settings, table, described[name].identity, ranges[name])
        self._ends: dict[tuple[str, int], int] = {}
        self._started_at: list[TopicPartition] = []
        for topic, of_topic in ranges.items():
            for partition, range_ in of_topic.items():
                self._ends[topic, partition] = range_.end
                self._started_at.append(self._start(topic, partition, range_))
        self._new_partitions = NewPartitions(self._bootstrap, self._reached)
        self._consumer = open_consumer(
            settings.kafka_bootstrap,
            fetch_bytes_min=FETCH_BYTES_MIN,
            fetch_wait_ms=FETCH_WAIT_MS,
            queue_bytes_max=QUEUE_BYTES_MAX,
        )
        self._consumer.assign(self._started_at)

    def close(self) -> None:
        """Close the consumer; rows that are not committed are dropped."""
        self._consumer.close()

    def step(self) -> int:
        """Take the records that have arrived, and commit when that is due.

        Blocks: `READ_S` for records, and for the commit.

        Returns:
            How many records were taken.

        Raises:
            KafkaUnreachableError: a log can no longer be read.
            OtherLogError: as `commit`.
        """
        self._follow_growth()
        try:
            messages = self._consumer.consume(READ_RECORDS_MAX, READ_S)
        except KafkaException as error:
            raise unreachable(self._bootstrap, error) from error
        for topic, records in self._by_topic(messages).items():
            self._take(topic, records)
        if messages and self._due_s is None:
            self._due_s = time.monotonic() + self._commit_s
        if self._is_due():
            self.commit()
        return len(messages)

    def commit(self) -> None:
        """Make everything taken so far durable, one commit a table.

        Raises:
            ArchiveConflictError: another process has archived the same records.
            OtherLogError: a topic is no longer the one that its table follows; nothing is written.
            KafkaUnreachableError: no answer to the question whether it is.
        """
        if any(pending.rows for pending in self._pending.values()):
            self._check_logs()
        for name, pending in self._pending.items():
            if pending.rows:
                self._check_alone(name, pending.next_offsets)
                self._tables[name].append(pending.batches, next_offsets=pending.next_offsets)
                self._reached[name].update(pending.next_offsets)
                logger.debug("%s: %d rows", name, pending.rows)
                self._pending[name] = _Pending()
        self._due_s = None

    def is_at_the_end(self) -> bool:
        """Whether every record that was in the logs at the start has been taken."""
        # The position is negative before the first record. Later it also passes offsets that a
        # log lacks.
        positions = self._consumer.position(self._started_at)
        return all(
            max(position.offset, start.offset) >= self._ends[start.topic, start.partition]
            for start, position in zip(self._started_at, positions, strict=True)
        )

    def compact(self, *, keep_hours: int) -> None:
        """Compact every table; see `ArchiveTable.compact`."""
        for name, table in self._tables.items():
            logger.info("%s: %s", name, table.compact(keep_hours=keep_hours))

    def _is_due(self) -> bool:
        pending = self._pending.values()
        return self._due_s is not None and (
            time.monotonic() >= self._due_s
            or sum(each.rows for each in pending) >= self._rows_max
            or sum(each.bytes for each in pending) >= PENDING_BYTES_MAX
        )

    def _take(self, topic: str, records: list[Record]) -> None:
        pending = self._pending[topic]
        batches = to_batches(topic, records, limits=self._limits)
        pending.batches += batches
        pending.rows += len(records)
        pending.bytes += sum(batch.nbytes for batch in batches)
        for record in records:
            pending.next_offsets[record.partition] = record.offset + 1

    def _by_topic(self, messages: Iterable[Message]) -> Mapping[str, list[Record]]:
        records: dict[str, list[Record]] = {}
        for message in messages:
            if (error := message.error()) is not None:
                raise unreachable(self._bootstrap, error)
            record = to_record(message, values_only=True)
            records.setdefault(cast(str, message.topic()), []).append(record)
        return records

    def _follow_growth(self) -> None:
        """Follow the partitions that the topics have got since the last call, from the start."""
        news = self._new_partitions.found()
        for topic, partition in news:
            logger.warning("%s: following the new partition %d", topic, partition)
            self._reached[topic][partition] = 0
        if news:
            self._consumer.incremental_assign(
                [TopicPartition(topic, partition, OFFSET_BEGINNING) for topic, partition in news]
            )

    def _check_logs(self) -> None:
        """Refuse if a topic is another log now.

        If it is the same now, all records until now were its own: an id never comes back.
        """
        for topic, described in self._topics.ask().items():
            check_identity(self._url, self._tables[topic], described.identity)

    def _check_alone(self, name: str, partitions: Iterable[int]) -> None:
        """Refuse to append after rows of another archiver, which are those to be appended.

        Delta refuses it only if the other commit came after our last one: a commit of other
        partitions does not conflict with it, and brings its offsets into our view.
        """
        table, reached = self._tables[name], self._reached[name]
        for partition in partitions:
            if table.next_offset(partition) != reached[partition]:
                raise ArchiveConflictError(
                    f"another process has archived {name} partition {partition} up to offset "
                    f"{table.next_offset(partition)}, this one up to {reached[partition]}; nothing "
                    "was written. Run one archiver alone"
                )

    def _start(self, topic: str, partition: int, range_: OffsetRange) -> TopicPartition:
        start = self._tables[topic].next_offset(partition)
        self._reached[topic][partition] = start
        if start < range_.first:
            logger.warning(
                "%s partition %d: offsets %d to %d are no longer in the log and are not archived",
                *(topic, partition, start, range_.first),
            )
        return TopicPartition(topic, partition, max(start, range_.first))


def archive_to_end(settings: Settings, *, tables: Mapping[str, ArchiveTable] | None = None) -> None:
    """Archive everything that is in the logs now, and return.

    Args:
        settings: where Kafka and the archive are.
        tables: to fill, by topic; those of the archive if it is None.

    Raises:
        ArchiveConflictError: another archiver is running; call again.
        OtherLogError: a table follows another log.
    """
    archiver = Archiver(settings, tables=tables)
    try:
        while not archiver.is_at_the_end():
            archiver.step()
        archiver.commit()
    finally:
        archiver.close()


def fill_archive(settings: Settings) -> None:
    """Archive everything that is in the logs now, beside a running archiver if there is one.

    Raises:
        ArchiveConflictError: the other archiver won every attempt.
        KafkaUnreachableError: Kafka does not answer.
    """
    for attempt in range(FILL_ATTEMPTS_MAX):
        try:
            archive_to_end(settings)
            break
        except ArchiveConflictError:
            # The archiver of the stack commits too: the loser goes on from the other's commit.
            if attempt == FILL_ATTEMPTS_MAX - 1:
                raise
            time.sleep(FILL_ATTEMPT_S)


def follow(settings: Settings, stop: threading.Event) -> None:
    """Archive until ``stop`` is set; compact every ``archive_compact_s``."""
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


if __name__ == "__main__":
    sys.exit(run_until_stopped(follow, niceness=NICENESS))
