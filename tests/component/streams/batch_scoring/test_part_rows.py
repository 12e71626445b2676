"""Which rows of a part count, and which batch features they get."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.batch import BATCH_AGE_MS_MAX, BATCH_NAMES
from features.definitions import DAY_MS
from streams.batch_scoring.part_rows import BatchFeatures, LeftOut, part_batches
from streams.batch_scoring.plan import Part, RowGroups
from training.datasets.batch_join import join_batch_features

DAY = 20_000 * DAY_MS


def test_batch_features_are_those_of_the_data_sets(tmp_path: Path) -> None:
    """Snapshots of some users on some days; events at, before and long after them."""
    rng = np.random.default_rng(3)
    rows = pd.DataFrame(
        {
            "user_id": [f"u{number}" for number in rng.integers(0, 9, 400)],
            "event_time_ms": np.sort(DAY + rng.integers(-DAY_MS, 7 * DAY_MS, 400)),
        }
    )
    exact = [DAY, DAY + BATCH_AGE_MS_MAX, DAY + BATCH_AGE_MS_MAX + 1]
    rows = pd.concat([rows, pd.DataFrame({"user_id": "u0", "event_time_ms": exact})])
    rows = rows.sort_values("event_time_ms", kind="stable").reset_index(drop=True)
    known = [(f"u{user}", DAY + day * DAY_MS) for day in (0, 1, 4) for user in range(5)]
    values = {name: rng.random(len(known)) for name in BATCH_NAMES}
    values[BATCH_NAMES[1]][3] = np.nan
    snapshots = pa.table(
        {
            "user_id": [user for user, _ in known],
            "event_time": [datetime.fromtimestamp(ms / 1_000, UTC) for _, ms in known],
            **values,
        }
    )
    expected = join_batch_features(rows, snapshots)
    path = tmp_path / "features.parquet"
    of_plan = {"user_id": snapshots["user_id"], "snapshot_ms": [ms for _, ms in known], **values}
    pq.write_table(pa.table(of_plan), path)
    batch = pa.RecordBatch.from_pandas(rows, preserve_index=False)
    found = BatchFeatures(path).join(batch, rows["event_time_ms"].to_numpy()).to_pandas()
    for name in BATCH_NAMES:
        np.testing.assert_array_equal(found[name].to_numpy(), expected[name].to_numpy())
    assert found[BATCH_NAMES[0]].nunique() > len(known) / 2


def test_rows_that_do_not_count_are_left_out_and_counted(tmp_path: Path) -> None:
    path, places = tmp_path / "rows.parquet", tmp_path / "left-out.parquet"
    rows = {
        "entity": ["first", "unreadable", "other", "repeat", "again", "last"],
        "is_readable": [True, False, True, True, True, True],
        "definition_digest": ["ours", None, "theirs", "ours", "ours", "ours"],
        "repeat": [False, None, False, True, False, False],
        "log_partition": [0, 0, 0, 0, 1, 1],
        "log_offset": [0, 1, 2, 3, 0, 1],
    }
    pq.write_table(pa.table(rows), path, row_group_size=2)
    pq.write_table(pa.table({"log_partition": [1], "log_offset": [0]}), places)
    part = Part(0, "2026-06-01", 6, (RowGroups(str(path), 0, 3),), "")
    found = list(
        part_batches(
            part,
            ["entity", "added_later"],
            rows_at_once=4,
            definition_digest="ours",
            left_out=LeftOut(places),
        )
    )
    kept = [entity for each in found for entity in each.rows.column("entity").to_pylist()]
    assert kept == ["first", "last"]
    assert sum(each.left_out for each in found) == 4
    assert all(each.rows.column("added_later").null_count == len(each.rows) for each in found)


def test_a_table_of_features_without_log_columns_counts_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"entity": ["a", "b", "c"]}), path, row_group_size=1)
    part = Part(0, "2026-06-01", 2, (RowGroups(str(path), 1, 3),), "")
    (found, more) = part_batches(
        part, ["entity"], rows_at_once=1, definition_digest="ours", left_out=LeftOut(None)
    )
    assert [*found.rows.column("entity").to_pylist(), *more.rows.column("entity").to_pylist()] == [
        "b",
        "c",
    ]
