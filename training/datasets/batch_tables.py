"""Computes the derived tables of the archive: daily snapshots of users, and the history of labels.

Pure: tables in, tables out, in DuckDB. Called by `materialize`, which stores both tables for Feast,
and by the data sets, which compute the snapshots from their own version of the archive. Flink
computes the same snapshots for `operations.batch_features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import duckdb
import pandas as pd
import pyarrow as pa

from features.batch import STATISTICS, BatchView
from features.batch_query import snapshot_query
from features.definitions import DAY_MS


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
    with duckdb.connect() as database:
        database.register("transactions", transactions)
        database.register("observations", observation_rows(observations))
        database.register("midnights", midnight_rows(snapshots))
        # One thread: sums of integers are the same with more, but memory grows.
        database.execute("SET threads = 1")
        return snapshot_rows(database.sql(snapshot_query(view)).to_arrow_table(), view)


def midnight_rows(snapshots: Sequence[int]) -> pa.Table:
    """Give days since 1970 as the table of midnights of `features.batch_query`."""
    return pa.table({"snapshot_ms": pa.array([day * DAY_MS for day in snapshots], pa.int64())})


def observation_rows(observations: pd.DataFrame) -> pa.Table:
    """Give observations as the table ``observations`` of `features.batch_query`."""
    columns = observations[_OBSERVATIONS.names]
    return pa.Table.from_pandas(columns, schema=_OBSERVATIONS, preserve_index=False)


def snapshot_rows(answer: pa.Table, view: BatchView) -> pa.Table:
    """Give the answer to `features.batch_query.snapshot_query` as `snapshot_schema`, in order."""
    schema = snapshot_schema(view)
    ordered = answer.sort_by([("snapshot_ms", "ascending"), ("user_id", "ascending")])
    times = ordered["snapshot_ms"].cast(pa.timestamp("ms", "UTC"))
    columns = [ordered["user_id"], times, *(ordered[name] for name in view.names)]
    return pa.Table.from_arrays(columns, names=schema.names).cast(schema)


def transaction_labels(observations: pd.DataFrame) -> pa.Table:
    """Give the observations as Feast reads them: by the time at which they became known.

    Args:
        observations: as `training.archive.labels.with_intervals` gives them: one row a
            transaction and time.
    """
    table = observation_rows(observations)
    times = table["observed_time_ms"].cast(pa.timestamp("ms", "UTC"))
    return pa.Table.from_arrays(
        [table["transaction_id"], times, table["is_fraud"]], names=LABELS_SCHEMA.names
    ).cast(LABELS_SCHEMA)
