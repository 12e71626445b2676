"""Compares the archive with the logs, row by row.

Called by `weir archive verify` and by the tests that kill the archiver. Knows no columns
(`training.archive.columns`) and no Kafka client (`clients.kafka_log`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from clients.kafka_log import TopicLog
from schemas.settings import Settings
from schemas.transaction import Limits
from training.archive.columns import to_batches
from training.archive.followed_log import check_ends, check_followed
from training.archive.scan import scan_ranges
from training.archive.store import ArchiveTable
from training.archive.tables import SCHEMAS

COUNTED_MAX: Final = 100_000
"""Offsets of a partition up to which the records that a table lacks are counted."""
SLICE_OFFSETS: Final = 100_000
"""Offsets compared at once; memory holds their rows twice."""
DIFFERENCES_KEPT: Final = 10

_ORDER: Final = [("log_offset", "ascending")]


@dataclass(slots=True)
class ArchiveComparison:
    """The result of comparing one table with its log.

    All counts but `rows` and `behind` should be 0.

    Attributes:
        name: of the table.
        rows: rows of the log that were compared.
        behind: records of the log after the last archived row of their partition, which a running
            archiver has yet to take; not an error.
        missing: rows of the log that the table lacks, although it goes beyond them, or has no row
            of their partition at all.
        extra: rows of the table that the log lacks, or that the table has twice.
        different: rows whose values differ.
        differences: the first few of these, as partition and offset.
    """

    name: str
    rows: int = 0
    behind: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    differences: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether table and log have the same rows."""
        return not (self.missing or self.extra or self.different)


def compare_with_log(settings: Settings, name: str) -> ArchiveComparison:
    """Compare a table with its log, in all partitions that the log has now.

    Raises:
        NoArchiveError: there is no such table.
        OtherLogError: the table follows another log, or goes beyond the end of its log.
        KafkaUnreachableError: Kafka does not answer.
    """
    check_followed(settings, name)
    found = ArchiveComparison(name)
    table = ArchiveTable(settings.archive_url, name)
    with TopicLog(settings.kafka_bootstrap, name) as log:
        archived = check_ends(settings, table, log.ranges)
        for partition, behind in records_behind(log, archived).items():
            if partition in archived:
                found.behind += behind
                _compare_partition(settings, found, table, log, partition, end=archived[partition])
            else:
                found.missing += behind
    return found


def records_behind(log: TopicLog, archived: Mapping[int, int]) -> dict[int, int]:
    """Count the records of each partition after the archived ones.

    Not by subtracting offsets: a transaction leaves markers, and records that were aborted. Beyond
    `COUNTED_MAX` offsets the offsets are counted.

    Args:
        log: of the topic.
        archived: by partition, the first offset that is not archived; 0 for the others.
    """
    behind = {}
    for partition, (first, end) in sorted(log.ranges.items()):
        start = max(first, archived.get(partition, 0))
        offsets = max(end - start, 0)
        if offsets <= COUNTED_MAX:
            records = log.read(partition, first=start, end=end, values_only=True)
            offsets = sum(1 for _ in records)
        behind[partition] = offsets
    return behind


def _compare_partition(
    settings: Settings,
    found: ArchiveComparison,
    table: ArchiveTable,
    log: TopicLog,
    partition: int,
    *,
    end: int,
) -> None:
    """Compare the rows of a partition up to an offset, one slice after the other."""
    limits = Limits.from_settings(settings)
    for start in range(log.ranges[partition].first, end, SLICE_OFFSETS):
        stop = min(start + SLICE_OFFSETS, end)
        records = list(log.read(partition, first=start, end=stop, values_only=True))
        batches = to_batches(table.name, records, limits=limits)
        logged = pa.Table.from_batches(batches, schema=SCHEMAS[table.name]).sort_by(_ORDER)
        place = {partition: (start, stop)}
        archived = scan_ranges(table, None, place).sort_by(_ORDER)
        _compare(found, partition, logged=logged, archived=archived)


def _compare(
    found: ArchiveComparison, partition: int, *, logged: pa.Table, archived: pa.Table
) -> None:
    found.rows += len(logged)
    archived = _as_now(archived, logged.schema)
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


def _as_now(archived: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring the columns into the order of now; they differ after features came or went."""
    columns = [
        archived[field.name].cast(field.type)
        if field.name in archived.column_names
        else pa.nulls(len(archived), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _by_offset(table: pa.Table) -> dict[int, pa.Table]:
    table = table.combine_chunks()
    return {offset: table.slice(at, 1) for at, offset in enumerate(table["log_offset"].to_pylist())}
