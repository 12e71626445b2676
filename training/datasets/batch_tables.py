"""The derived tables of the archive: daily snapshots of users, and what was known when.

Pure: tables in, tables out, in DuckDB. Called by `feature_store`, which stores them, and by the
data sets, which make them anew as of their own version of the archive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from features.batch import BATCH_FEATURES
from features.definitions import DAY_MS

_WINDOW_DAYS: Final = BATCH_FEATURES[0].window_ms // DAY_MS

_STATISTICS: Final = f"""
WITH days AS (SELECT unnest($snapshots::BIGINT[]) AS snapshot),
daily AS (
    SELECT user_id, event_time_ms // {DAY_MS} AS day, count(*) AS n, sum(amount_minor) AS amount
    FROM transactions GROUP BY ALL
),
known AS (
    SELECT transaction_id, is_fraud, observed_time_ms AS from_ms,
        lead(observed_time_ms) OVER (PARTITION BY transaction_id ORDER BY observed_time_ms) AS to_ms
    FROM observations
),
frauds AS (
    SELECT user_id, event_time_ms // {DAY_MS} AS day, from_ms, to_ms
    FROM known JOIN transactions USING (transaction_id) WHERE is_fraud
),
spent AS (
    SELECT user_id, snapshot, sum(n)::BIGINT AS n, sum(amount)::DOUBLE AS amount
    FROM daily JOIN days ON day >= snapshot - {_WINDOW_DAYS} AND day < snapshot GROUP BY ALL
),
reported AS (
    SELECT user_id, snapshot, count(*)::BIGINT AS frauds
    FROM frauds JOIN days ON day >= snapshot - {_WINDOW_DAYS} AND day < snapshot
        AND from_ms < snapshot * {DAY_MS} AND (to_ms IS NULL OR to_ms >= snapshot * {DAY_MS})
    GROUP BY ALL
)
SELECT user_id, snapshot, n, amount / n, coalesce(frauds, 0), coalesce(frauds, 0)::DOUBLE / n
FROM spent LEFT JOIN reported USING (user_id, snapshot) ORDER BY snapshot, user_id
"""  # noqa: S608 - numbers of ours

STATISTICS_SCHEMA: Final = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("event_time", pa.timestamp("us", "UTC")),
        *(
            pa.field(f.name, pa.float64() if f.value_type == "double" else pa.int64())
            for f in BATCH_FEATURES
        ),
    ]
)
"""Columns of ``user_statistics``; ``event_time`` is the midnight of the snapshot."""

LABELS_SCHEMA: Final = pa.schema(
    [
        pa.field("transaction_id", pa.string()),
        pa.field("observed_time", pa.timestamp("us", "UTC")),
        pa.field("is_fraud", pa.bool_()),
    ]
)
"""Columns of ``transaction_labels``."""


def user_statistics(
    transactions: pa.Table, observations: pa.Table, *, snapshots: Sequence[int]
) -> pa.Table:
    """Compute the batch features of every user with transactions in the window of a snapshot.

    Args:
        transactions: ``transaction_id``, ``user_id``, ``amount_minor``, ``event_time_ms``; one
            row a transaction.
        observations: ``transaction_id``, ``observed_time_ms``, ``is_fraud``; one row a
            transaction and time.
        snapshots: days since 1970 at whose first midnight the snapshots are, UTC.

    Returns:
        `STATISTICS_SCHEMA`, ordered by snapshot and user.
    """
    with duckdb.connect() as database:
        database.register("transactions", transactions)
        database.register("observations", observations)
        # One thread: sums of whole numbers do not depend on it, memory does.
        database.execute("SET threads = 1")
        query = database.sql(_STATISTICS, params={"snapshots": list(snapshots)})
        rows: pa.Table = query.to_arrow_table()
    columns = rows.columns
    days_ms = pc.multiply(columns[1].cast(pa.int64()), DAY_MS)
    columns[1] = days_ms.cast(pa.timestamp("ms", "UTC"))
    return pa.Table.from_arrays(columns, names=STATISTICS_SCHEMA.names).cast(STATISTICS_SCHEMA)


def transaction_labels(observations: pa.Table) -> pa.Table:
    """Give the observations as Feast reads them: by the time at which they became known."""
    times = observations["observed_time_ms"].cast(pa.timestamp("ms", "UTC"))
    return pa.Table.from_arrays(
        [observations["transaction_id"], times, observations["is_fraud"]],
        names=LABELS_SCHEMA.names,
    ).cast(LABELS_SCHEMA)
