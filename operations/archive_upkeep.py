"""Work on the archive as a whole: how far it is, and merging its small files.

Bridges Kafka and the archive; `training.archive` has the tables. Called by `weir archive`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clients.kafka_log import TopicLog
from schemas.settings import Settings
from training.archive.compare import records_behind
from training.archive.followed_log import check_followed
from training.archive.store import ArchiveTable
from training.archive.tables import TABLES
from training.errors import OtherLogError


@dataclass(frozen=True, slots=True)
class TableStatus:
    """The state of one table.

    Attributes:
        name: of the table.
        rows: that it holds.
        files: that it consists of.
        version: of the Delta table.
        behind: records of the log that are not in it yet, as
            `training.archive.compare.records_behind` counts them; None if the table follows another
            log.
    """

    name: str
    rows: int
    files: int
    version: int
    behind: int | None


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


def _status_of(settings: Settings, name: str) -> TableStatus:
    table = ArchiveTable(settings.archive_url, name)
    return TableStatus(
        name=name,
        rows=table.delta.count(),
        files=len(table.files()),
        version=table.delta.version(),
        behind=_behind(settings, table),
    )


def _behind(settings: Settings, table: ArchiveTable) -> int | None:
    try:
        check_followed(settings, table.name)
    except OtherLogError:
        return None
    with TopicLog(settings.kafka_bootstrap, table.name) as log:
        return sum(records_behind(log, table.next_offsets()).values())
