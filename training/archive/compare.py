"""Is the archive what the log says? Reads both and compares them row by row.

Called by `weir archive verify` and by the tests that kill the archiver.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Consumer, TopicPartition

from schemas.settings import Settings
from schemas.transaction import Limits
from training.archive.archiver import (
    READ_RECORDS_MAX,
    READ_S,
    as_record,
    bounds_of,
    open_consumer,
    partitions_of,
)
from training.archive.columns import Record, to_batches
from training.archive.store import ArchiveTable
from training.archive.tables import SCHEMAS
from training.errors import LogUnreachableError

SLICE_OFFSETS = 100_000
"""Offsets compared at once: what memory holds, twice."""
SILENT_READS_MAX = 60
DIFFERENCES_KEPT = 10

_ORDER = [("log_offset", "ascending")]


@dataclass(slots=True)
class ArchiveComparison:
    """What a comparison of one table with its log found; all but `rows` should be 0.

    Attributes:
        name: of the table.
        rows: rows of the log that were compared.
        missing: rows of the log that the table has not, though it goes beyond them.
        extra: rows of the table that the log has not, or that the table has twice.
        different: rows that say something else.
        differences: places of the first few, as partition and offset.
    """

    name: str
    rows: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    differences: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether table and log say the same."""
        return not (self.missing or self.extra or self.different)


def compare_with_log(settings: Settings, name: str) -> ArchiveComparison:
    """Compare a table with its log, up to where the table goes.

    Raises:
        NoArchiveError: there is no such table.
        LogUnreachableError: Kafka does not answer.
    """
    found = ArchiveComparison(name)
    table = ArchiveTable(settings.archive_url, name)
    rows = table.dataset()
    limits = Limits.from_settings(settings)
    consumer = open_consumer(settings.kafka_bootstrap)
    try:
        for partition in partitions_of(consumer, name, bootstrap=settings.kafka_bootstrap):
            first, _ = bounds_of(consumer, name, partition, bootstrap=settings.kafka_bootstrap)
            end = table.next_offset(partition)
            for start in range(first, end, SLICE_OFFSETS):
                stop = min(start + SLICE_OFFSETS, end)
                read = _read(consumer, name, partition, start, stop)
                records = [record for record in read if record.offset < stop]
                batches = to_batches(name, records, limits=limits)
                logged = pa.Table.from_batches(batches, schema=SCHEMAS[name]).sort_by(_ORDER)
                place = pc.field("log_partition") == partition
                place &= (pc.field("log_offset") >= start) & (pc.field("log_offset") < stop)
                archived = rows.to_table(filter=place).sort_by(_ORDER)
                _compare(found, partition, logged=logged, archived=archived)
    finally:
        consumer.close()
    return found


def _read(consumer: Consumer, name: str, partition: int, start: int, stop: int) -> Iterator[Record]:
    place = TopicPartition(name, partition, start)
    consumer.assign([place])
    silent = 0
    # No more than there are: `consume` waits for as many as it is asked for.
    while (left := stop - max(consumer.position([place])[0].offset, start)) > 0:
        messages = consumer.consume(min(left, READ_RECORDS_MAX), READ_S)
        silent = 0 if messages else silent + 1
        if silent > SILENT_READS_MAX:
            raise LogUnreachableError(f"{name} partition {partition} fell silent before {stop}")
        for message in messages:
            if message.error() is not None:
                raise LogUnreachableError(f"{name} partition {partition}: {message.error()}")
            yield as_record(message)


def _compare(
    found: ArchiveComparison, partition: int, *, logged: pa.Table, archived: pa.Table
) -> None:
    found.rows += len(logged)
    # Columns by name: the table may order them otherwise after features came or went.
    archived = archived.select(logged.column_names).cast(logged.schema)
    if archived.equals(logged):
        return
    ours = _by_offset(logged)
    theirs = _by_offset(archived)
    found.missing += len(ours.keys() - theirs.keys())
    found.extra += len(archived) - len(ours.keys() & theirs.keys())
    for offset in sorted(ours.keys() & theirs.keys()):
        if not ours[offset].equals(theirs[offset]):
            found.different += 1
            if len(found.differences) < DIFFERENCES_KEPT:
                found.differences.append((partition, offset))


def _by_offset(table: pa.Table) -> dict[int, pa.Table]:
    table = table.combine_chunks()
    return {offset: table.slice(at, 1) for at, offset in enumerate(table["log_offset"].to_pylist())}
