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

from training.archive.delta_errors import delta_errors
from training.archive.store import ArchiveTable

_PLACE: Final = ("log_partition", "log_offset", "log_timestamp_ms")


class LostRows:
    """Counts the rows of an old table that a new one lacks; may look again after both have grown.

    Memory: one file of the old table.

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

        Raises:
            ArchiveUnreachableError: the storage failed.
        """
        unchecked = pc.scalar(value=True)
        for partition, end in self._checked.items():
            unchecked &= (pc.field("log_partition") != partition) | (pc.field("log_offset") >= end)
        is_complete = True
        with delta_errors(old.url):
            for file in old.delta.to_pyarrow_dataset().get_fragments():
                try:
                    rows = file.to_table(columns=list(_PLACE), filter=unchecked)
                except FileNotFoundError:
                    is_complete = False
                    continue
                self.partitions.update(rows["log_partition"].unique().to_pylist())
                self.count += int((~are_in(rows, new)).sum())
            if not is_complete:
                self.count = max(self.count, old.delta.count() - new.delta.count())
        self._checked = {partition: old.next_offset(partition) for partition in self.partitions}


def are_in(rows: pa.Table, table: ArchiveTable) -> npt.NDArray[np.bool_]:
    """Say for each row whether a table, as of its last opening, has it.

    Args:
        rows: columns ``log_partition``, ``log_offset``, ``log_timestamp_ms``, in any order.
        table: of the same topic.

    Raises:
        ArchiveUnreachableError: the storage failed.
    """
    partitions, offsets, times = (rows[name].to_numpy() for name in _PLACE)
    found = np.zeros(len(rows), np.bool_)
    with delta_errors(table.url):
        theirs = table.delta.to_pyarrow_dataset()
        for partition in np.unique(partitions):
            at = np.flatnonzero(partitions == partition)
            at = at[np.argsort(offsets[at])]
            ours = _Places(offsets[at], times[at])
            offset = pc.field("log_offset")
            wanted = (offset >= ours.offsets[0]) & (offset <= ours.offsets[-1])
            wanted &= pc.field("log_partition") == partition
            for batch in theirs.to_batches(columns=list(_PLACE[1:]), filter=wanted):
                if len(batch):
                    found[at] |= _find(ours, batch)
    return found


class _Places(NamedTuple):
    """Offsets of one partition and Kafka's timestamps there, in the order of the offsets."""

    offsets: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]


def _find(ours: _Places, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    offsets, times = (batch[name].to_numpy() for name in _PLACE[1:])
    order = np.argsort(offsets)
    offsets, times = offsets[order], times[order]
    found = np.zeros(len(ours.offsets), np.bool_)
    # Only those within the batch's range, because a batch is a small part of the table.
    first = np.searchsorted(ours.offsets, offsets[0], "left")
    end = np.searchsorted(ours.offsets, offsets[-1], "right")
    place = np.searchsorted(offsets, ours.offsets[first:end])
    found[first:end] = (offsets[place] == ours.offsets[first:end]) & (
        times[place] == ours.times[first:end]
    )
    return found
