"""Computes the derived tables of the archive: daily snapshots of users, and the history of labels.

Pure: tables in, tables out, in DuckDB. Called by `materialize`, which stores both tables for Feast,
and by the data sets, which compute the snapshots from their own version of the archive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import duckdb
import pandas as pd
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
frauds AS (
    SELECT user_id, event_time_ms // {DAY_MS} AS day, observed_time_ms, until_ms
    FROM observations JOIN transactions USING (transaction_id) WHERE is_fraud
),
spent AS (
    SELECT user_id, snapshot, sum(n)::BIGINT AS n, sum(amount)::DOUBLE AS amount
    FROM daily JOIN days ON day >= snapshot - {_WINDOW_DAYS} AND day < snapshot GROUP BY ALL
),
reported AS (
    SELECT user_id, snapshot, count(*)::BIGINT AS frauds
    FROM frauds JOIN days ON day >= snapshot - {_WINDOW_DAYS} AND day < snapshot
        AND observed_time_ms < snapshot * {DAY_MS} AND until_ms >= snapshot * {DAY_MS}
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


_OBSERVATIONS: Final = pa.schema(
    [
        pa.field("transaction_id", pa.string()),
        pa.field("observed_time_ms", pa.int64()),
        pa.field("until_ms", pa.int64()),
        pa.field("is_fraud", pa.bool_()),
    ]
)


def user_statistics(
    transactions: pa.Table, observations: pd.DataFrame, *, snapshots: Sequence[int]
) -> pa.Table:
    """Compute the batch features of every user with transactions in the window of a snapshot.

    A transaction is a fraud of a snapshot if the latest observation before that midnight says so.

    Args:
        transactions: ``transaction_id``, ``user_id``, ``amount_minor``, ``event_time_ms``; one
            row a transaction.
        observations: as `training.archive.labels.with_intervals` gives them.
        snapshots: days since 1970; each snapshot is taken at the day's first moment, UTC.

    Returns:
        `STATISTICS_SCHEMA`, ordered by snapshot and user.
    """
    with duckdb.connect() as database:
        database.register("transactions", transactions)
        database.register("observations", _as_arrow(observations))
        # One thread: sums of integers are the same with more, but memory grows.
        database.execute("SET threads = 1")
        query = database.sql(_STATISTICS, params={"snapshots": list(snapshots)})
        rows: pa.Table = query.to_arrow_table()
    columns = rows.columns
    days_ms = pc.multiply(columns[1].cast(pa.int64()), DAY_MS)
    columns[1] = days_ms.cast(pa.timestamp("ms", "UTC"))
    return pa.Table.from_arrays(columns, names=STATISTICS_SCHEMA.names).cast(STATISTICS_SCHEMA)


def transaction_labels(observations: pd.DataFrame) -> pa.Table:
    """Give the observations as Feast reads them: by the time at which they became known.

    Args:
        observations: as `training.archive.labels.with_intervals` gives them: one row a
            transaction and time.
    """
    table = _as_arrow(observations)
    times = table["observed_time_ms"].cast(pa.timestamp("ms", "UTC"))
    return pa.Table.from_arrays(
        [table["transaction_id"], times, table["is_fraud"]], names=LABELS_SCHEMA.names
    ).cast(LABELS_SCHEMA)


def _as_arrow(observations: pd.DataFrame) -> pa.Table:
    columns = observations[_OBSERVATIONS.names]
    return pa.Table.from_pandas(columns, schema=_OBSERVATIONS, preserve_index=False)
