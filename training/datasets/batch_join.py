"""Joins batch features to rows: the newest snapshot at or before the row's event time.

Owns the join of data sets. Feast gives the same values for the same table of snapshots, which a
contract test compares; online, `features.online.batch_values` applies the same rule. Pure.
"""

from __future__ import annotations

from typing import Final

import pandas as pd
import pyarrow as pa

from features.batch import BATCH_AGE_MS_MAX, BATCH_NAMES, NO_HISTORY

_NO_HISTORY: Final = {name: value for name, value in NO_HISTORY.items() if value is not None}


def join_batch_features(rows: pd.DataFrame, snapshots: pa.Table) -> pd.DataFrame:
    """Add the batch features that each row may see.

    ::

        snapshot     usable                                     after the event
        ─────────────[───────────────────────────────────────]──────────────▶ event time
                     event - BATCH_AGE_MS_MAX             event

    Args:
        rows: ``user_id`` and ``event_time_ms``, ordered by event time.
        snapshots: as `training.datasets.batch_tables.user_statistics` gives them, ordered by
            snapshot.

    Returns:
        The rows, with `BATCH_NAMES` as float64. A user without a usable snapshot has the values
        `NO_HISTORY`.
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
    values = found[list(BATCH_NAMES)].astype("float64").fillna(_NO_HISTORY)
    return rows.assign(**{name: values[name].to_numpy() for name in BATCH_NAMES})
