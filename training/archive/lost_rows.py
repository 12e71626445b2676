"""Finds the rows of one table that another table of the same topic lacks.

A row is named by its place in the log and by Kafka's timestamp there, so the records of another log
are other rows. Called by the rebuild of the archive.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from training.archive.delta_errors import delta_errors
from training.archive.store import ArchiveTable

SLICE_OFFSETS: Final = 4_000_000
"""Offsets of a partition compared at once; memory holds 16 bytes a row of each table."""

_END: Final = 2**63 - 1


class _Rows(NamedTuple):
    """Rows of one partition: their offsets in order, and Kafka's timestamps."""

    offsets: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]


class LostRows:
    """Counts the rows of an old table that a new one lacks; may look again after both have grown.

    Attributes:
        count: rows found so far that the new table lacks.
        partitions: of which the old table has rows.
    """

    def __init__(self) -> None:
        self.count = 0
        self.partitions: set[int] = set()
        self._checked: dict[int, int] = {}

    def look(self, old: ArchiveTable, new: ArchiveTable) -> None:
        """Compare the rows that the old table has got since the last call.

        Rows in files that are missing cannot be compared; then the new table must not have fewer
        rows than the old one had.

        Args:
            old: as of its last opening.
            new: as of its last opening.

        Raises:
            ArchiveUnreachableError: the storage failed.
        """
        ours, theirs = _Files(old), _Files(new)
        self.partitions |= ours.partitions()
        for partition in sorted(self.partitions):
            end = old.next_offset(partition)
            for start in range(self._checked.get(partition, 0), end, SLICE_OFFSETS):
                # The last slice is open, so that no row is left out.
                stop = start + SLICE_OFFSETS if start + SLICE_OFFSETS < end else _END
                rows = ours.read(partition, start, stop)
                self.count += int((~_are_in(rows, theirs, partition)).sum())
            self._checked[partition] = end
        if ours.is_missing:
            self.count = max(self.count, old.delta.count() - new.delta.count())


def are_in(rows: pa.Table, table: ArchiveTable) -> npt.NDArray[np.bool_]:
    """Say for each row whether a table has it.

    Args:
        rows: columns ``log_partition``, ``log_offset``, ``log_timestamp_ms``, in any order.
        table: of the same topic, as of its last opening.

    Raises:
        ArchiveUnreachableError: the storage failed.
    """
    partitions = rows["log_partition"].to_numpy()
    offsets, times = rows["log_offset"].to_numpy(), rows["log_timestamp_ms"].to_numpy()
    found = np.zeros(len(rows), np.bool_)
    theirs = _Files(table)
    for partition in np.unique(partitions):
        at = np.flatnonzero(partitions == partition)
        at = at[np.argsort(offsets[at])]
        found[at] = _are_in(_Rows(offsets[at], times[at]), theirs, int(partition))
    return found


def _are_in(rows: _Rows, files: _Files, partition: int) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(rows.offsets), np.bool_)
    done = 0
    while done < len(found):
        first = int(rows.offsets[done])
        end = int(np.searchsorted(rows.offsets, first + SLICE_OFFSETS))
        ours = _Rows(rows.offsets[done:end], rows.times[done:end])
        theirs = files.read(partition, first, int(ours.offsets[-1]) + 1)
        place = np.searchsorted(theirs.offsets, ours.offsets)
        is_near = place < len(theirs.offsets)
        at = place[is_near]
        found[done:end][is_near] = (theirs.offsets[at] == ours.offsets[is_near]) & (
            theirs.times[at] == ours.times[is_near]
        )
        done = end
    return found


class _Files:
    """The files of one table, read one by one, so that one may be missing.

    Attributes:
        is_missing: whether a file was not there.
    """

    def __init__(self, table: ArchiveTable) -> None:
        self.is_missing = False
        self._url = table.url
        with delta_errors(self._url):
            self._files = list(table.delta.to_pyarrow_dataset().get_fragments())

    def partitions(self) -> set[int]:
        """The partitions of which there are rows."""
        found: set[int] = set()
        for file in self._files:
            if (rows := self._read(file, ["log_partition"], None)) is not None:
                found.update(rows["log_partition"].unique().to_pylist())
        return found

    def read(self, partition: int, first: int, end: int) -> _Rows:
        """Read the rows of a partition from one offset up to another, in order."""
        offset = pc.field("log_offset")
        wanted = (pc.field("log_partition") == partition) & (offset >= first) & (offset < end)
        names = ["log_offset", "log_timestamp_ms"]
        read = (self._read(file, names, wanted) for file in self._files)
        tables = [rows for rows in read if rows is not None]
        if not tables:
            return _Rows(np.empty(0, np.int64), np.empty(0, np.int64))
        offsets, times = (pa.concat_tables(tables)[name].to_numpy() for name in names)
        order = np.argsort(offsets, kind="stable")
        return _Rows(offsets[order], times[order])

    def _read(
        self, file: ds.Fragment, names: list[str], wanted: pc.Expression | None
    ) -> pa.Table | None:
        with delta_errors(self._url):
            try:
                return file.to_table(columns=names, filter=wanted)
            except FileNotFoundError:
                self.is_missing = True
                return None
