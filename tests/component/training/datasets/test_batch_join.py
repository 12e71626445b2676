"""A row gets the newest snapshot at or before it, up to the maximal age."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.batch import BATCH_AGE_MS_MAX, BATCH_NAMES, NO_HISTORY, STATISTICS
from features.definitions import DAY_MS
from training.datasets.batch_join import join_batch_features
from training.datasets.batch_tables import snapshot_schema

TODAY = 20_000
MIDNIGHT_MS = TODAY * DAY_MS
COUNT = BATCH_NAMES[0]


def snapshots(*rows: tuple[str, int, int]) -> pa.Table:
    """Make snapshots of (user, day, count); the other values are derived from the count."""
    return pa.Table.from_pylist(
        [
            {
                "user_id": user_id,
                "event_time": datetime.fromtimestamp(day * DAY_MS / 1_000, UTC),
                **dict(zip(BATCH_NAMES, (count, count / 4, 1, 1 / count), strict=True)),
            }
            for user_id, day, count in sorted(rows, key=lambda row: row[1])
        ],
        schema=snapshot_schema(STATISTICS),
    )


def rows(*given: tuple[str, int]) -> pd.DataFrame:
    return pd.DataFrame(given, columns=["user_id", "event_time_ms"])


# snapshots of u       TODAY - 1         TODAY
#                      |  count 5 ...... |  count 7 ......................... |
# event                                -1 0                AGE_MAX ]  + 1
@pytest.mark.parametrize(
    ("after_ms", "count"),
    [(-1, 5), (0, 7), (1, 7), (BATCH_AGE_MS_MAX, 7), (BATCH_AGE_MS_MAX + 1, 0)],
)
def test_the_newest_snapshot_at_or_before_the_event_counts_up_to_its_age(
    after_ms: int, count: int
) -> None:
    known = snapshots(("u", TODAY - 1, 5), ("u", TODAY, 7), ("v", TODAY + 1, 9))
    found = join_batch_features(rows(("u", MIDNIGHT_MS + after_ms)), known)
    assert found[COUNT].tolist() == [count]


def test_a_user_without_a_usable_snapshot_has_no_history() -> None:
    known = snapshots(("v", TODAY, 9))
    found = join_batch_features(rows(("v", MIDNIGHT_MS - 1), ("u", MIDNIGHT_MS)), known)
    for row in found[list(BATCH_NAMES)].to_dict("records"):
        assert {n: None if np.isnan(v) else v for n, v in row.items()} == NO_HISTORY
    none = join_batch_features(rows(("u", MIDNIGHT_MS)), snapshots())
    assert none[COUNT].tolist() == [0]


def test_rows_keep_their_order_their_index_and_their_columns() -> None:
    known = snapshots(("u", TODAY, 4), ("v", TODAY, 8))
    given = rows(("v", MIDNIGHT_MS), ("u", MIDNIGHT_MS), ("v", MIDNIGHT_MS + 5))
    given = given.assign(amount_minor=[1, 2, 3]).set_index(pd.Index([7, 3, 5]))
    found = join_batch_features(given, known)
    pd.testing.assert_frame_equal(found[list(given.columns)], given)
    assert found[COUNT].tolist() == [8, 4, 8]
    assert {str(found[name].dtype) for name in BATCH_NAMES} == {"float64"}
