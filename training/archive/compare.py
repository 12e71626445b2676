"""Compares the archive with the logs, row by row.

Called by `weir archive verify` and by the tests that kill the archiver. Knows no columns
(`training.archive.columns`) and no Kafka client (`clients.kafka_log`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from clients.kafka_log import TopicLog
from schemas.settings import Settings
from schemas.transaction import Limits
from training.archive.columns import to_batches
from training.archive.store import ArchiveTable
from training.archive.tables import SCHEMAS

SLICE_OFFSETS = 100_000
"""Offsets compared at once; memory holds their rows twice."""
DIFFERENCES_KEPT = 10

_ORDER = [("log_offset", "ascending")]


@dataclass(slots=True)
class ArchiveComparison:
    """The result of comparing one table with its log; all counts but `rows` should be 0.

    Attributes:
        name: of the table.
        rows: rows of the log that were compared.
        missing: rows of the log that the table lacks, although it goes beyond them.
        extra: rows of the table that the log lacks, or that the table has twice.
        different: rows whose values differ.
        differences: the first few of these, as partition and offset.
    """

    name: str
    rows: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    differences: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether table and log have the same rows."""
        return not (self.missing or self.extra or self.different)


def compare_with_log(settings: Settings, name: str) -> ArchiveComparison:
    """Compare a table with its log, up to the offsets that the table reaches.

    Raises:
        NoArchiveError: there is no such table.
        KafkaUnreachableError: Kafka does not answer.
    """
    found = ArchiveComparison(name)
    table = ArchiveTable(settings.archive_url, name)
    rows = table.dataset()
    limits = Limits.from_settings(settings)
    with TopicLog(settings.kafka_bootstrap, name) as log:
        for partition, (first, _) in sorted(log.ranges.items()):
            end = table.next_offset(partition)
            for start in range(first, end, SLICE_OFFSETS):
                stop = min(start + SLICE_OFFSETS, end)
                records = list(log.read(partition, first=start, end=stop, values_only=True))
                batches = to_batches(name, records, limits=limits)
                logged = pa.Table.from_batches(batches, schema=SCHEMAS[name]).sort_by(_ORDER)
                place = pc.field("log_partition") == partition
                place &= (pc.field("log_offset") >= start) & (pc.field("log_offset") < stop)
                archived = rows.to_table(filter=place).sort_by(_ORDER)
                _compare(found, partition, logged=logged, archived=archived)
    return found


def _compare(
    found: ArchiveComparison, partition: int, *, logged: pa.Table, archived: pa.Table
) -> None:
    found.rows += len(logged)
    # By name: the table may have another order of columns after features came or went.
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
