"""The version of an archive: how far it reaches, by offsets of the logs.

Owns what a data set must name to be built again from the same records. Called by the data sets, by
parity and by `weir dataset`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.topics import FEATURES, LABELS
from training.archive.scan import LOG_OFFSET, NextOffsets, scan_backfilled
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED


@dataclass(frozen=True, slots=True)
class ArchiveVersion:
    """By table and partition, the first log offset that is not in the archive.

    These are offsets of the log, not versions of the Delta tables: an archive that was rebuilt
    from the logs has other table versions and the same rows. A backfilled row has the offset of
    the row in the log that it replaces.

    Examples:
        >>> ArchiveVersion({"labels": {0: 7}}).to_json()
        '{"labels":{"0":7}}'
        >>> ArchiveVersion.from_json('{"labels":{"0":7}}')
        ArchiveVersion(next_offsets={'labels': {0: 7}})
    """

    next_offsets: Mapping[str, NextOffsets]

    def to_json(self) -> str:
        """Give the offsets as JSON; equal versions give equal text."""
        return json.dumps(
            {name: dict(sorted(ends.items())) for name, ends in sorted(self.next_offsets.items())},
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> ArchiveVersion:
        """Read the output of :meth:`to_json`."""
        offsets = json.loads(text)
        return cls(
            {
                name: {int(partition): end for partition, end in ends.items()}
                for name, ends in offsets.items()
            }
        )


def archive_version(url: str) -> ArchiveVersion:
    """Say how far the tables of feature rows and labels reach now, in every partition with rows.

    Args:
        url: of the archive.

    Raises:
        NoArchiveError: nothing has been archived yet.
        ArchiveUnreachableError: the storage failed.
    """
    ends = {name: ArchiveTable(url, name).next_offsets() for name in (FEATURES, LABELS)}
    backfilled = scan_backfilled(url, LOG_OFFSET)
    if backfilled is not None and len(backfilled):
        last = backfilled.group_by("log_partition").aggregate([("log_offset", "max")])
        columns = last["log_partition"].to_pylist(), last["log_offset_max"].to_pylist()
        ends[BACKFILLED] = {number: offset + 1 for number, offset in zip(*columns, strict=True)}
    return ArchiveVersion(ends)
