"""The archive's table of corrected labels, and how far all labels have been checked.

One Delta commit holds both, so that a correction that is recorded is not sent again. Called by
`operations.labels.checker`, and by `weir archive status` for the count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from clients.topic_description import LogIdentity
from operations.labels.archived import day_of
from operations.labels.corrections import Correction
from training.archive.store import ArchiveTable
from training.archive.tables import DAY, LABEL_CORRECTIONS, SCHEMAS
from training.errors import NoArchiveError


class RecordedCorrections:
    """The table ``label_corrections`` of one archive; for one writer at a time."""

    def __init__(self, url: str) -> None:
        """Refer to the table; nothing is opened before the first call.

        Args:
            url: of the archive.
        """
        self._table = ArchiveTable(url, LABEL_CORRECTIONS)
        self._checked_until: dict[int, int] = {}

    def checked_until(
        self, ends: Mapping[int, int], *, followed: LogIdentity | None = None
    ) -> dict[int, int]:
        """Give the offsets before which all labels have been checked; create the table if needed.

        An archive that was rebuilt from another log is checked from its beginning.

        Args:
            ends: by partition, the first offset that is not archived. If a recorded offset is
                behind it, the archive holds another log now.
            followed: the log that the archived labels are from, if that is noted.

        Raises:
            ArchiveConflictError: another checker is writing the table.
            ArchiveUnreachableError: the storage failed.
        """
        self._table.open_or_create()
        if followed is not None and self._table.followed != followed:
            if self._table.followed is not None:
                # Before the ids: after a crash in between it is done again.
                self._table.append([], next_offsets=dict.fromkeys(ends, 0))
            self._table.follow(followed)
        recorded = {partition: self._table.next_offset(partition) for partition in ends}
        self._checked_until = {
            partition: offset if offset <= ends[partition] else 0
            for partition, offset in recorded.items()
        }
        return dict(self._checked_until)

    def record(
        self, corrections: Sequence[Correction], *, checked_until: Mapping[int, int], now_ms: int
    ) -> None:
        """Record corrections that have been sent, and offsets; nothing if both are unchanged.

        Args:
            corrections: sent since the last call.
            checked_until: by partition, the first offset that has not been checked.
            now_ms: the clock, ms since 1970 UTC.

        Raises:
            ArchiveConflictError: another checker is writing the table; nothing is recorded.
            ArchiveUnreachableError: the storage failed.
        """
        if not corrections and checked_until == self._checked_until:
            return
        self._table.append(_rows(corrections, now_ms).to_batches(), next_offsets=checked_until)
        self._checked_until = dict(checked_until)


def count_corrections(url: str) -> int:
    """Count the labels that have been corrected.

    Args:
        url: of the archive.

    Raises:
        ArchiveUnreachableError: the storage failed.
    """
    try:
        return ArchiveTable(url, LABEL_CORRECTIONS).delta.count()
    except NoArchiveError:
        return 0


def _rows(corrections: Sequence[Correction], now_ms: int) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "transaction_id": correction.label.transaction_id,
                "merchant_id": correction.label.merchant_id,
                "reported_merchant_id": correction.reported.label.merchant_id,
                "event_time_ms": correction.label.event_time_ms,
                "observed_time_ms": correction.label.observed_time_ms,
                "is_fraud": correction.label.is_fraud,
                "log_partition": correction.reported.partition,
                "log_offset": correction.reported.offset,
                "corrected_at_ms": now_ms,
                DAY: day_of(correction.label.event_time_ms),
            }
            for correction in corrections
        ],
        schema=SCHEMAS[LABEL_CORRECTIONS],
    )
