"""Joins batch features to rows: the newest snapshot at or before the row's event time.

Owns the join of data sets. Feast gives the same values for the same table of snapshots, which a
contract test compares; online, `features.online.batch_values` applies the same rule. Pure.
"""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from features.batch import BATCH_AGE_MS_MAX, STATISTICS, BatchView


def join_batch_features(
    rows: pd.DataFrame, snapshots: pa.Table, *, view: BatchView = STATISTICS
) -> pd.DataFrame:
    """Add the batch features that each row may see.

    ::

        snapshot     usable                                     after the event
        ─────────────[───────────────────────────────────────]──────────────▶ event time
                     event - BATCH_AGE_MS_MAX             event

    Args:
        rows: ``user_id`` and ``event_time_ms``, ordered by event time.
        snapshots: as `training.datasets.batch_tables.user_snapshots` gives them, ordered by
            snapshot.
        view: whose features they are.

    Returns:
        The rows, with the view's features as float64. A user without a usable snapshot has the
        values of no history.
    """
    asked = rows[["user_id", "event_time_ms"]]
    midnights = snapshots["event_time"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
    known = snapshots.drop_columns("event_time").append_column("snapshot_ms", midnights)
    found = pd.merge_asof(
        asked,
        known.to_pandas(),
        left_on="event_time_ms",
        right_on="snapshot_ms",
        by="user_id",
        tolerance=BATCH_AGE_MS_MAX,
    )
    none = {name: value for name, value in view.no_history.items() if value is not None}
    values = found[list(view.names)].astype("float64").fillna(none)
    return rows.assign(**{name: values[name].to_numpy() for name in view.names})
