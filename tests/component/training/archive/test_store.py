"""The tables of the archive on disk: partitions, exactly-once appends, compaction."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from clients.log_record import Record
from features.definitions import DAY_MS
from schemas.topics import FEATURES
from tests.archives import append_values
from tests.builders import LIMITS, NOW_MS
from tests.component.training.archive.test_feature_rows import row, rows
from training.archive.columns import to_batches
from training.archive.feature_rows import archived_feature_rows
from training.archive.store import ArchiveTable
from training.archive.tables import DAY
from training.errors import ArchiveConflictError


def test_rows_lie_in_the_partition_of_their_day(tmp_path: Path) -> None:
    values = rows(*(row(f"t{n}", event_time_ms=NOW_MS + n) for n in (-1, 0, DAY_MS - 1, DAY_MS)))
    table = append_values(str(tmp_path), FEATURES, values)
    days = table.dataset().to_table(columns=[DAY])[DAY].unique().to_pylist()
    assert sorted(map(str, days)) == ["2026-11-23", "2026-11-24", "2026-11-25"]
    files = table.files()
    assert len(files) == 3
    assert all("event_date=2026-11-2" in file for file in files)


def test_two_writers_of_the_same_records_write_them_once(tmp_path: Path) -> None:
    append_values(str(tmp_path), FEATURES, rows(row("t-1")))
    one, other = (ArchiveTable(str(tmp_path), FEATURES) for _ in range(2))
    batches = to_batches(FEATURES, [Record(0, 1, NOW_MS, *rows(row("t-2")))], limits=LIMITS)
    assert one.next_offset(0) == other.next_offset(0) == 1
    one.append(batches, next_offsets={0: 2})
    with pytest.raises(ArchiveConflictError, match="at the same time"):
        other.append(batches, next_offsets={0: 2})
    assert archived_feature_rows(str(tmp_path))["transaction_id"].tolist() == ["t-1", "t-2"]


def test_an_emptied_table_starts_at_the_beginning_of_the_log(tmp_path: Path) -> None:
    table = append_values(str(tmp_path), FEATURES, rows(row("t-1")))
    table.empty([0])
    assert table.next_offset(0) == 0
    assert table.delta.count() == 0
    append_values(str(tmp_path), FEATURES, rows(row("t-1")))
    assert len(archived_feature_rows(str(tmp_path))) == 1


def test_compaction_keeps_the_rows_and_the_offsets(tmp_path: Path) -> None:
    for n in range(5):
        append_values(str(tmp_path), FEATURES, rows(row(f"t-{n}")), start=n)
    before = archived_feature_rows(str(tmp_path))
    table = ArchiveTable(str(tmp_path), FEATURES)
    figures = table.compact(keep_hours=0)
    assert figures == {"files_added": 1, "files_removed": 5, "files_deleted": 5}
    assert len(table.files()) == 1
    assert table.next_offset(0) == 5
    pd.testing.assert_frame_equal(archived_feature_rows(str(tmp_path)), before)
