"""Work on the archive as a whole: how far it is, rebuilding it, merging its small files.

Bridges Kafka and the archive; `training.archive` has the tables. Called by `weir archive`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from clients.kafka_log import end_offsets, read_log
from schemas.settings import Settings
from training.archive.archiver import fill_archive
from training.archive.store import ArchiveTable
from training.archive.tables import TABLES

COUNTED_MAX: Final = 100_000
"""Offsets up to which the records that a table lacks are counted; beyond, the offsets are."""


@dataclass(frozen=True, slots=True)
class TableStatus:
    """The state of one table.

    Attributes:
        name: of the table.
        rows: that it holds.
        files: that it consists of.
        version: of the Delta table.
        behind: records of the log that are not in it yet; if there may be more than `COUNTED_MAX`,
            the number of their offsets, markers of transactions included.
    """

    name: str
    rows: int
    files: int
    version: int
    behind: int


def table_status(settings: Settings) -> list[TableStatus]:
    """Count rows and files of every table, and the records that it is behind its log.

    Raises:
        NoArchiveError: nothing has been archived yet.
        KafkaUnreachableError: no answer.
    """
    return [_status_of(settings, name) for name in TABLES]


def compact_tables(settings: Settings) -> dict[str, Mapping[str, Any]]:
    """Merge the small files of each day, and delete the files that they replaced long enough ago.

    Returns:
        By table, what was done, as `ArchiveTable.compact` counts it.
    """
    return {
        name: ArchiveTable(settings.archive_url, name).compact(keep_hours=settings.archive_keep_h)
        for name in TABLES
    }


def rebuild_archive(settings: Settings) -> None:
    """Empty every table and fill it again from its log; a running archiver takes part.

    Raises:
        KafkaUnreachableError: no answer.
    """
    for name in TABLES:
        table = ArchiveTable(settings.archive_url, name)
        table.open_or_create()
        table.empty(list(end_offsets(settings.kafka_bootstrap, name)))
    fill_archive(settings)


def _status_of(settings: Settings, name: str) -> TableStatus:
    table = ArchiveTable(settings.archive_url, name)
    return TableStatus(
        name=name,
        rows=table.delta.count(),
        files=len(table.files()),
        version=table.delta.version(),
        behind=_behind(settings.kafka_bootstrap, table),
    )


def _behind(bootstrap: str, table: ArchiveTable) -> int:
    """Count the records of a log after its table.

    Not by subtracting offsets: a transaction leaves markers, and records that were aborted.
    """
    ends = end_offsets(bootstrap, table.name)
    starts = {partition: table.next_offset(partition) for partition in ends}
    offsets = sum(end - starts[partition] for partition, end in ends.items())
    if offsets > COUNTED_MAX:
        return offsets
    return sum(1 for _ in read_log(bootstrap, table.name, start=starts, values_only=True))
