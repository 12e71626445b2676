"""Makes the archive again from the logs: writes new tables beside the old ones, then swaps.

Until the last commit of a table the old one is whole, whatever happens. The new one must have every
row that the old one has, unless the caller gives these rows up. Called by `weir archive rebuild`.
"""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from typing import Final

import pyarrow as pa

from schemas.settings import Settings
from schemas.topics import FEATURES
from training.archive.archiver import archive_to_end
from training.archive.lost_rows import LostRows, are_in
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED, TABLES
from training.errors import ArchiveConflictError, LostRowsError, NoArchiveError

ATTEMPTS_MAX: Final = 60
PAUSE_S: Final = 1.0
"""How often, and how far apart in s, the swap is tried while other processes write the tables."""
_HOUR_S: Final = 3_600


def rebuild_archive(settings: Settings, *, accept_lost_rows: bool = False) -> dict[str, int]:
    """Read the logs from their beginning into new tables, and put these in place of the old ones.

    An archiver may run meanwhile; when its table is swapped, it fails once and goes on with the new
    one. A process that is killed leaves files that a later compaction deletes.

    Args:
        settings: where Kafka and the archive are.
        accept_lost_rows: replace a table by one that lacks some of its rows.

    Returns:
        By table, `BACKFILLED` included, how many rows were given up.

    Raises:
        LostRowsError: rows would be lost, and this was not accepted. Nothing was changed.
        ArchiveConflictError: other processes won every attempt, or it took too long. Each table is
            either the old one or the new one.
        KafkaUnreachableError: no answer.
        ArchiveUnreachableError: the storage failed.
    """
    began_s = time.monotonic()
    rebuild = _Rebuild(settings)
    waiting = list(TABLES)
    for _ in range(ATTEMPTS_MAX):
        rebuild.catch_up(waiting)
        lost = rebuild.lost()
        if any(lost.values()) and not accept_lost_rows:
            raise LostRowsError(_refusal(settings, lost))
        if time.monotonic() - began_s > settings.archive_keep_h * _HOUR_S:
            raise ArchiveConflictError(
                "the rebuild took longer than WEIR_ARCHIVE_KEEP_H="
                f"{settings.archive_keep_h} h, after which a compaction may delete its files; "
                "nothing was changed. Set it higher, also for the archiver, and run it again"
            )
        waiting = rebuild.swap(waiting)
        if not waiting:
            return lost
        time.sleep(PAUSE_S)
    raise ArchiveConflictError(
        f"other processes wrote {', '.join(waiting)} at each of {ATTEMPTS_MAX} attempts to replace "
        "them; these are as they were. Stop the archiver and run `weir archive rebuild` again"
    )


class _Rebuild:
    """The tables of the archive, and beside each the one that is to replace it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._old = {name: ArchiveTable(settings.archive_url, name) for name in TABLES}
        for table in self._old.values():
            table.open_or_create()
        label = f"rebuild-{uuid.uuid4().hex[:12]}"
        self._new = {name: table.beside(label) for name, table in self._old.items()}
        self._lost = {name: LostRows() for name in TABLES}

    def catch_up(self, waiting: list[str]) -> None:
        """Fill the new tables up to the ends of the logs, and compare the old ones with them."""
        for name in waiting:
            # Before the logs are read, so that the new table reaches at least as far.
            self._old[name].open_or_create()
        archive_to_end(self._settings, tables=self._new)
        for name in waiting:
            self._lost[name].look(self._old[name], self._new[name])

    def lost(self) -> dict[str, int]:
        """Count the rows that only the old tables have."""
        rows = self._backfilled()
        without = 0 if rows is None else int((~are_in(rows, self._new[FEATURES])).sum())
        return {name: found.count for name, found in self._lost.items()} | {BACKFILLED: without}

    def swap(self, waiting: list[str]) -> list[str]:
        """Replace tables, each in one commit; gives those that another process wrote meanwhile."""
        if FEATURES in waiting:
            self._drop_backfilled()
        return [name for name in waiting if not self._is_swapped(name)]

    def _is_swapped(self, name: str) -> bool:
        old, new = self._old[name], self._new[name]
        partitions = self._lost[name].partitions | new.next_offsets().keys()
        followed = new.followed
        assert followed is not None
        try:
            old.replace_by(new, partitions=partitions)
        except ArchiveConflictError:
            return False
        # A crash in between leaves rows of the new log under the ids of the old one, which the
        # next start recognises by their files (`ArchiveTable.swapped_in`).
        while old.followed != followed:
            with suppress(ArchiveConflictError):
                old.follow(followed)
            old.open_or_create()
        return True

    def _backfilled(self) -> pa.Table | None:
        """The rows that a backfill put in place of rows of the feature log; None without any."""
        try:
            return ArchiveTable(self._settings.archive_url, BACKFILLED).dataset().to_table()
        except NoArchiveError:
            return None

    def _drop_backfilled(self) -> None:
        """Drop the backfilled rows whose row in the feature log the new table lacks."""
        rows = self._backfilled()
        if rows is None:
            return
        has_row = are_in(rows, self._new[FEATURES])
        if not has_row.all():
            table = ArchiveTable(self._settings.archive_url, BACKFILLED)
            table.replace(rows.filter(pa.array(has_row)), metadata={})


def _refusal(settings: Settings, lost: dict[str, int]) -> str:
    counts = ", ".join(f"{count:,} of {name}" for name, count in lost.items() if count)
    return (
        f"the archive at {settings.archive_url} has rows that the logs at "
        f"{settings.kafka_bootstrap} do not have: {counts}. A rebuild would lose them; nothing was "
        "changed. If the log they come from is lost, the archive is their only copy: keep it as it "
        "is and set WEIR_ARCHIVE_URL to a new place for the present logs; or copy it to a safe "
        "place and give these rows up with `weir archive rebuild --accept-lost-rows`"
    )
