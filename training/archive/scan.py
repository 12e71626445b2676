"""Reads columns of one archive table into Arrow, in the order of the log.

Owns the order, the filter by log offsets, and what happens to columns and files that are missing.
Knows no pandas. Called by everything that reads the archive's rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from features.definitions import DEFINITION_DIGEST
from training.archive.delta_errors import delta_errors, file_errors
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED, SCHEMAS
from training.errors import NoArchiveError

LOG_OFFSET: Final = ("log_partition", "log_offset")
"""The columns that say where in the log a row was."""
LOG_ORDER: Final = [(name, "ascending") for name in LOG_OFFSET]

IS_PRESENT: Final = pc.field("definition_digest") == DEFINITION_DIGEST
"""Whether a feature row was computed by the feature definitions of this code."""

NextOffsets = Mapping[int, int]
"""By partition, the first offset that is not included."""


def scan(
    url: str,
    name: str,
    columns: Sequence[str],
    *,
    until: NextOffsets | None = None,
    where: Any = None,
) -> pa.Table:
    """Read the rows of one table whose record could be decoded.

    Args:
        url: of the archive.
        name: one of `training.archive.tables.SCHEMAS`.
        columns: to read, `LOG_OFFSET` among them. A column that the table does not have yet is
            null in all rows.
        until: read the rows before these offsets; None: all rows.
        where: an Arrow expression that the rows must meet; None: all rows.

    Returns:
        The columns in the order that was asked for, sorted by `LOG_ORDER`.

    Raises:
        NoArchiveError: there is no such table, or one of its files is missing.
        ArchiveUnreachableError: the storage failed.
    """
    table = ArchiveTable(url, name)
    dataset = table.dataset()
    # A feature that was added has no column before the first row that has it is archived.
    known = [column for column in columns if column in dataset.schema.names]
    wanted = pc.field("is_readable")
    if where is not None:
        wanted &= where
    if until is not None:
        wanted &= _before(until)
    with delta_errors(table.url), file_errors(table.url):
        rows = dataset.to_table(columns=known, filter=wanted).sort_by(LOG_ORDER)
    for column in columns:
        if column not in known:
            rows = rows.append_column(column, pa.nulls(len(rows), SCHEMAS[name].field(column).type))
    return rows.select(list(columns))


def scan_backfilled(
    url: str, columns: Sequence[str], *, until: NextOffsets | None = None
) -> pa.Table | None:
    """Read the backfilled rows of the present definitions as `scan` does.

    Returns:
        None if there has been no backfill.
    """
    try:
        ArchiveTable(url, BACKFILLED).dataset()
    except NoArchiveError:
        return None
    return scan(url, BACKFILLED, columns, until=until, where=IS_PRESENT)


def scan_ranges(
    table: ArchiveTable, columns: Sequence[str] | None, ranges: Mapping[int, tuple[int, int]]
) -> pa.Table:
    """Read the rows of a table in ranges of log offsets, also those that could not be decoded.

    Args:
        table: read as of its last opening.
        columns: to read; the table has all of them. None: all.
        ranges: by partition, the first offset and the one after the last.

    Raises:
        NoArchiveError: there is no such table, or one of its files is missing.
        ArchiveUnreachableError: the storage failed.
    """
    wanted = pc.scalar(value=False)
    for partition, (first, end) in ranges.items():
        offset = pc.field("log_offset")
        wanted |= (pc.field("log_partition") == partition) & (offset >= first) & (offset < end)
    with delta_errors(table.url), file_errors(table.url):
        return table.delta.to_pyarrow_dataset().to_table(columns=columns, filter=wanted)


def _before(until: NextOffsets) -> Any:
    included = pc.scalar(value=False)
    for partition, end in until.items():
        included |= (pc.field("log_partition") == partition) & (pc.field("log_offset") < end)
    return included
