"""Computes the derived tables of the archive: daily snapshots of users, and the history of labels.

Pure: tables in, tables out, in DuckDB. Called by `materialize`, which stores both tables for Feast,
and by the data sets, which compute the snapshots from their own version of the archive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.batch import STATISTICS, BatchView
from features.definitions import DAY_MS, Aggregate, Quantity

_SQL_OF: Final[Mapping[tuple[Quantity, Aggregate], str]] = {
    ("transaction", "count"): "n",
    ("amount", "sum"): "amount",
    ("amount", "mean"): "amount::DOUBLE / n",
    ("fraud", "count"): "coalesce(frauds, 0)",
    ("fraud", "rate"): "coalesce(frauds, 0)::DOUBLE / n",
}


def _query(view: BatchView) -> str:
    days = view.window_ms // DAY_MS
    values = ", ".join(_SQL_OF[feature.quantity, feature.aggregate] for feature in view.features)
    return f"""
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
    SELECT user_id, snapshot, sum(n)::BIGINT AS n, sum(amount)::BIGINT AS amount
    FROM daily JOIN days ON day >= snapshot - {days} AND day < snapshot GROUP BY ALL
),
reported AS (
    SELECT user_id, snapshot, count(*)::BIGINT AS frauds
    FROM frauds JOIN days ON day >= snapshot - {days} AND day < snapshot
        AND observed_time_ms < snapshot * {DAY_MS} AND until_ms >= snapshot * {DAY_MS}
    GROUP BY ALL
)
SELECT user_id, snapshot, {values}
FROM spent LEFT JOIN reported USING (user_id, snapshot) ORDER BY snapshot, user_id
"""  # noqa: S608 - numbers and expressions of ours


def snapshot_schema(view: BatchView) -> pa.Schema:
    """Give the columns of a view's snapshots; ``event_time`` is the midnight of the snapshot."""
    return pa.schema(
        [
            pa.field("user_id", pa.string()),
            pa.field("event_time", pa.timestamp("us", "UTC")),
            *(
                pa.field(f.name, pa.float64() if f.value_type == "double" else pa.int64())
                for f in view.features
            ),
        ]
    )


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


def user_snapshots(
    transactions: pa.Table,
    observations: pd.DataFrame,
    *,
    snapshots: Sequence[int],
    view: BatchView = STATISTICS,
) -> pa.Table:
    """Compute the batch features of every user with transactions in the window of a snapshot.

    A transaction is a fraud of a snapshot if the latest observation before that midnight says so.

    Args:
        transactions: ``transaction_id``, ``user_id``, ``amount_minor``, ``event_time_ms``; one
            row a transaction.
        observations: as `training.archive.labels.with_intervals` gives them.
        snapshots: days since 1970; each snapshot is taken at the day's first moment, UTC.
        view: whose features.

    Returns:
        `snapshot_schema`, ordered by snapshot and user.
    """
    schema = snapshot_schema(view)
    with duckdb.connect() as database:
        database.register("transactions", transactions)
        database.register("observations", _as_arrow(observations))
        # One thread: sums of integers are the same with more, but memory grows.
        database.execute("SET threads = 1")
        query = database.sql(_query(view), params={"snapshots": list(snapshots)})
        rows: pa.Table = query.to_arrow_table()
    columns = rows.columns
    days_ms = pc.multiply(columns[1].cast(pa.int64()), DAY_MS)
    columns[1] = days_ms.cast(pa.timestamp("ms", "UTC"))
    return pa.Table.from_arrays(columns, names=schema.names).cast(schema)


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
