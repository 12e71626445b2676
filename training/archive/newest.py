"""How far the archive reaches in event time.

Separate from the modules that use pandas, whose import costs a second and a hundred megabytes: the
materializer asks often. Called by the materializer.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow.compute as pc

from schemas.topics import FEATURES
from training.archive.store import ArchiveTable
from training.archive.tables import DAY
from training.errors import NoArchiveError


def newest_event_ms(url: str, *, now_ms: int) -> int | None:
    """Give the newest event time of the archived feature rows that is not after the clock.

    Reads the newest day alone. A replay may contain events of any later time; they say nothing
    about how far the archive reaches.

    Args:
        url: of the archive.
        now_ms: the clock, ms since 1970 UTC.

    Returns:
        ms since 1970 UTC; None if no such row has been archived yet.

    Raises:
        ArchiveUnreachableError: the storage failed.
    """
    table = ArchiveTable(url, FEATURES)
    try:
        days = {partition[DAY] for partition in table.delta.partitions()}
    except NoArchiveError:
        return None
    rows = table.dataset()
    today = datetime.fromtimestamp(now_ms / 1_000, UTC).date()
    known = pc.field("is_readable") & (pc.field("event_time_ms") <= now_ms)
    # Records that could not be decoded have a day, too, so the newest day may have no event.
    for day in sorted(map(date.fromisoformat, days), reverse=True):
        if day > today:
            continue
        wanted = known & (pc.field(DAY) == pc.scalar(day))
        times = rows.to_table(columns=["event_time_ms"], filter=wanted)["event_time_ms"]
        if len(times):
            newest_ms: int = pc.max(times).as_py()
            return newest_ms
    return None
