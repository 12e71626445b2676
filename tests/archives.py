"""Puts values into the archive as if the archiver had read them from a topic of one partition."""

from __future__ import annotations

from collections.abc import Sequence

from clients.log_record import Record
from tests.builders import LIMITS, NOW_MS
from training.archive.columns import to_batches
from training.archive.store import ArchiveTable


def append_values(
    url: str, topic: str, values: Sequence[bytes | None], *, start: int = 0
) -> ArchiveTable:
    """Append values to a table, in one commit, as the records from offset ``start`` on."""
    table = ArchiveTable(url, topic)
    table.open_or_create()
    records = [Record(0, start + at, NOW_MS, value) for at, value in enumerate(values)]
    end = start + len(values)
    table.append(to_batches(topic, records, limits=LIMITS), next_offsets={0: end})
    assert table.next_offset(0) == end
    return table
