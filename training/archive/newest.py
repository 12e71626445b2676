"""How far the archive goes in event time.

Apart from `read` because of pandas, which takes a second to import and a hundred megabytes: the
materializer asks often.
"""

from __future__ import annotations

from datetime import date

import pyarrow.compute as pc

from schemas.topics import FEATURES
from training.archive.store import ArchiveTable
from training.archive.tables import DAY
from training.errors import NoArchiveError


def newest_event_ms(url: str) -> int | None:
    """Give the newest event time of the archived feature rows, ms since 1970 UTC.

    Reads the newest day alone.

    Returns:
        None where no row has been archived yet.

    Raises:
        ArchiveUnreachableError: the storage failed.
    """
    table = ArchiveTable(url, FEATURES)
    try:
        days = {partition[DAY] for partition in table.delta.partitions()}
    except NoArchiveError:
        return None
    rows = table.dataset()
    # What cannot be read has a day as well, so the newest day may have no event.
    for day in sorted(map(date.fromisoformat, days), reverse=True):
        wanted = pc.field("is_readable") & (pc.field(DAY) == pc.scalar(day))
        times = rows.to_table(columns=["event_time_ms"], filter=wanted)["event_time_ms"]
        if len(times):
            newest_ms: int = pc.max(times).as_py()
            return newest_ms
    return None
