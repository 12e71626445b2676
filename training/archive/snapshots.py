"""Reads the daily snapshots of batch features from the archive, row by row.

`training.datasets.materialization` writes the table. Called by parity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from features.batch import STATISTICS, BatchView
from training.archive.delta_errors import delta_errors
from training.errors import NoArchiveError


class SnapshotRow(NamedTuple):
    """One user's row of one snapshot.

    Attributes:
        user_id: the user.
        snapshot_ms: the midnight of the snapshot, ms since 1970 UTC.
        features: value by name.
    """

    user_id: str
    snapshot_ms: int
    features: Mapping[str, int | float | None]


class ArchivedSnapshots:
    """The table of a view's snapshots, as of the first call of `read`.

    A missing table is read as an empty one.
    """

    def __init__(self, url: str, view: BatchView = STATISTICS) -> None:
        """Refer to an archive and a view; nothing is opened before the first call."""
        self._url = f"{url.rstrip('/')}/{view.name}"
        self._names = view.names
        self._rows: ds.Dataset | None = None

    def read(self, first_ms: int, last_ms: int) -> Iterator[SnapshotRow]:
        """Give the rows of all snapshots from one time to another, both included.

        Args:
            first_ms: of the oldest snapshot, ms since 1970 UTC.
            last_ms: of the newest snapshot, ms since 1970 UTC.

        Raises:
            ArchiveUnreachableError: the storage failed.
        """
        rows = self._open()
        if rows is None:
            return
        wanted = (pc.field("event_time") >= _time(first_ms)) & (
            pc.field("event_time") <= _time(last_ms)
        )
        columns_read = ["user_id", "event_time", *self._names]
        for batch in rows.to_batches(columns=columns_read, filter=wanted):
            users, times, *columns = (column.to_pylist() for column in batch.columns)
            for user_id, time, *values in zip(users, times, *columns, strict=True):
                snapshot_ms = round(time.timestamp() * 1_000)
                features = dict(zip(self._names, values, strict=True))
                yield SnapshotRow(user_id, snapshot_ms, features)

    def _open(self) -> ds.Dataset | None:
        if self._rows is None:
            try:
                with delta_errors(self._url):
                    self._rows = DeltaTable(self._url).to_pyarrow_dataset()
            except NoArchiveError:
                return None
        return self._rows


def _time(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1_000, UTC)
