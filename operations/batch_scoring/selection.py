"""Chooses the archive's rows in SQL: which repeats are left out, which row is an entity's newest.

Owns the queries, in DuckDB over the Parquet files of a Delta table; `inputs` turns what they find
into parts. Called by `inputs`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from features.definitions import DEFINITION_DIGEST
from training.archive.first_rows import ORDERING_COLUMNS, is_first_row
from training.archive.scan import LOG_OFFSET

_COUNTED: Final = f"is_readable AND NOT repeat AND definition_digest = '{DEFINITION_DIGEST}'"
_PLACE: Final = ", ".join((*LOG_OFFSET, *ORDERING_COLUMNS))

# Equal hashes of different ids only add rows to look at.
_SHARED: Final = f"""
WITH shared AS (
    SELECT hash(transaction_id) AS id FROM rows WHERE {_COUNTED}
    GROUP BY ALL HAVING count(*) > 1
)
SELECT transaction_id, {_PLACE} FROM rows
WHERE {_COUNTED} AND hash(transaction_id) IN (SELECT id FROM shared)
ORDER BY {", ".join(LOG_OFFSET)}
"""  # noqa: S608 - names and a digest of ours

_ROWS_A_GROUP: Final = 100_000


def repeats(files: Sequence[str]) -> pa.Table:
    """Find the rows that have an earlier row of the same transaction.

    Args:
        files: Parquet files of feature rows: all of the archive, because a repeat may be on
            another day than the first row.

    Returns:
        ``log_partition`` and ``log_offset`` of the rows that do not count.
    """
    with _over(files) as database:
        found = database.execute(_SHARED).df()
    found["repeat"] = found["repeat"].astype(bool)
    left_out = found[~is_first_row(found)][list(LOG_OFFSET)]
    return pa.Table.from_pandas(left_out, preserve_index=False)


class SharedEntity(NamedTuple):
    """An entity that more than one row has, or the missing entity of some rows."""

    entity: str | None
    rows: int


def entity_not_alone(files: Sequence[str], column: str) -> SharedEntity | None:
    """Give an entity that has several rows, or None as one; None if each has one row of its own."""
    name = f'"{column}"'
    query = f"""
SELECT {name}::VARCHAR, count(*) FROM rows
GROUP BY ALL HAVING count(*) > 1 OR {name}::VARCHAR IS NULL LIMIT 1
"""  # noqa: S608 - a column of the table
    with _over(files) as database:
        found = database.execute(query).fetchone()
    return None if found is None else SharedEntity(*found)


def write_newest(
    files: Sequence[str],
    left_out: pa.Table,
    out: Path,
    *,
    entity_column: str,
    first_ms: int,
    end_ms: int,
) -> int:
    """Write the newest row of each entity within a range of event time, as one Parquet file.

    Of rows of one time the last one of the log counts.

    Args:
        files: as for `repeats`.
        left_out: rows that do not count.
        out: the file.
        entity_column: names the entity.
        first_ms: earliest event time, ms since 1970 UTC.
        end_ms: end of the range, excluded.

    Returns:
        How many entities there are.
    """
    name = f'"{entity_column}"'
    query = f"""
SELECT * FROM rows ANTI JOIN left_out USING (log_partition, log_offset)
WHERE {_COUNTED} AND event_time_ms >= {first_ms} AND event_time_ms < {end_ms}
QUALIFY row_number() OVER (
    PARTITION BY {name} ORDER BY event_time_ms DESC, log_partition DESC, log_offset DESC
) = 1
ORDER BY {name}
"""  # noqa: S608 - a column of the archive, and numbers
    with _over(files) as database:
        database.register("left_out", left_out)
        newest: pa.Table = database.sql(query).to_arrow_table()
    pq.write_table(newest, out, row_group_size=_ROWS_A_GROUP, compression="zstd")
    return len(newest)


def _over(files: Sequence[str]) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    database.execute("SET preserve_insertion_order = false")
    database.read_parquet(list(files), union_by_name=True, hive_partitioning=False).create_view(
        "rows"
    )
    return database
