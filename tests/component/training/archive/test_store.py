"""The tables of the archive on disk: partitions, exactly-once appends, compaction."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from clients.log_record import Record
from clients.topic_description import LogIdentity
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

LOG = LogIdentity("a-cluster", "a-topic")


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


def beside(table: ArchiveTable, count: int) -> ArchiveTable:
    """A second table with so many rows of partition 1, in one commit each."""
    second = table.beside("rebuild-x")
    second.open_or_create()
    for at in range(count):
        record = Record(1, at, NOW_MS, *rows(row(f"new-{at}")))
        second.append(to_batches(FEATURES, [record], limits=LIMITS), next_offsets={1: at + 1})
    return second


def test_a_table_is_replaced_by_one_beside_it_rows_offsets_and_all(tmp_path: Path) -> None:
    url = str(tmp_path)
    table = append_values(url, FEATURES, rows(row("t-1"), row("t-2")))
    table.follow(LOG)
    second = beside(table, 3)
    assert archived_feature_rows(url)["transaction_id"].tolist() == ["t-1", "t-2"]
    table.replace_by(second, partitions=[0, 1])
    assert archived_feature_rows(url)["transaction_id"].tolist() == ["new-0", "new-1", "new-2"]
    table.open_or_create()
    assert (table.next_offset(0), table.next_offset(1)) == (0, 3)
    assert table.next_offsets() == {1: 3}
    assert (table.delta.count(), table.followed) == (3, LOG)
    # The files are this table's own from now on.
    assert table.compact(keep_hours=0)["files_added"] == 1
    assert len(archived_feature_rows(url)) == 3
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_a_table_that_was_written_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    url = str(tmp_path)
    table = append_values(url, FEATURES, rows(row("t-1")))
    second = beside(table, 3)
    append_values(url, FEATURES, rows(row("t-2")), start=1)
    with pytest.raises(ArchiveConflictError):
        table.replace_by(second, partitions=[0, 1])
    assert archived_feature_rows(url)["transaction_id"].tolist() == ["t-1", "t-2"]


def test_a_writer_of_the_replaced_table_fails_and_goes_on_in_the_new_one(tmp_path: Path) -> None:
    table = append_values(str(tmp_path), FEATURES, rows(row("t-1")))
    writer = ArchiveTable(str(tmp_path), FEATURES)
    batches = to_batches(FEATURES, [Record(0, 1, NOW_MS, *rows(row("t-2")))], limits=LIMITS)
    assert writer.next_offset(0) == 1
    table.replace_by(beside(table, 1), partitions=[0, 1])
    with pytest.raises(ArchiveConflictError):
        writer.append(batches, next_offsets={0: 2})
    writer.open_or_create()
    assert writer.next_offset(0) == 0


def test_the_followed_log_stays_with_the_table(tmp_path: Path) -> None:
    table = append_values(str(tmp_path), FEATURES, rows(row("t-1")))
    assert table.followed is None
    table.follow(LOG)
    append_values(str(tmp_path), FEATURES, rows(row("t-2")), start=1)
    table.compact(keep_hours=0)
    assert ArchiveTable(str(tmp_path), FEATURES).followed == LOG
    other = LogIdentity(LOG.cluster_id, "another")
    table.follow(other)
    assert ArchiveTable(str(tmp_path), FEATURES).followed == other
    assert len(archived_feature_rows(str(tmp_path))) == 2


def test_the_partitions_that_have_rows_are_known_without_the_log(tmp_path: Path) -> None:
    table = append_values(str(tmp_path), FEATURES, rows(row("t-1"), row("t-2")))
    assert table.next_offsets() == {0: 2}
    record = Record(7, 4, NOW_MS, *rows(row("t-3")))
    table.append(to_batches(FEATURES, [record], limits=LIMITS), next_offsets={7: 5})
    assert table.next_offsets() == {0: 2, 7: 5}


def test_compaction_deletes_files_that_were_never_committed(tmp_path: Path) -> None:
    table = append_values(str(tmp_path), FEATURES, rows(row("t-1")))
    (file,) = (Path(path) for path in table.files())
    left = [file.with_name("left.parquet"), tmp_path / FEATURES / "rebuild-x" / "left.parquet"]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        shutil.copy(file, path)
    assert table.compact(keep_hours=1)["files_deleted"] == 0
    assert table.compact(keep_hours=0)["files_deleted"] == len(left)
    assert file.exists()
    assert not any(path.exists() for path in left)


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
