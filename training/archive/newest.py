"""How far the archive reaches in event time.

Separate from the modules that use pandas, whose import costs a second and a hundred megabytes: the
materializer asks often. Called by the materializer and by the data sets.
"""

from __future__ import annotations

from datetime import date

import pyarrow.compute as pc

from schemas.topics import FEATURES, LABELS
from training.archive.scan import LOG_OFFSET, scan
from training.archive.store import ArchiveTable
from training.archive.tables import DAY
from training.archive.version import ArchiveVersion
from training.errors import NoArchiveError


def archived_newest_ms(url: str, *, version: ArchiveVersion | None = None) -> int:
    """Give the newest time in feature rows and labels, ms since 1970 UTC; 0 if there are none.

    Args:
        url: of the archive.
        version: leave out what was archived later than this; None: read everything.

    Raises:
        NoArchiveError: nothing has been archived yet.
        ArchiveUnreachableError: the storage failed.
    """
    newest_ms = 0
    for name, column in ((FEATURES, "event_time_ms"), (LABELS, "observed_time_ms")):
        until = None if version is None else version.next_offsets[name]
        times = scan(url, name, [column, *LOG_OFFSET], until=until)[column]
        newest_ms = max(newest_ms, pc.max(times).as_py() or 0)
    return newest_ms


def newest_event_ms(url: str) -> int | None:
    """Give the newest event time of the archived feature rows, ms since 1970 UTC.

    Reads the newest day alone.

    Returns:
        None if no row has been archived yet.

    Raises:
        ArchiveUnreachableError: the storage failed.
    """
    table = ArchiveTable(url, FEATURES)
    try:
        days = {partition[DAY] for partition in table.delta.partitions()}
    except NoArchiveError:
        return None
    rows = table.dataset()
    # Records that could not be decoded have a day, too, so the newest day may have no event.
    for day in sorted(map(date.fromisoformat, days), reverse=True):
        wanted = pc.field("is_readable") & (pc.field(DAY) == pc.scalar(day))
        times = rows.to_table(columns=["event_time_ms"], filter=wanted)["event_time_ms"]
        if len(times):
            newest_ms: int = pc.max(times).as_py()
            return newest_ms
    return None
