"""What training reads out of the archive is what it reads out of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake

from clients.log_record import Record
from schemas.codec import encode_label
from schemas.feature_row import FeatureRow
from schemas.label import Label
from schemas.output_codec import encode_feature_row
from schemas.topics import FEATURES, LABELS
from tests.builders import LABEL, LIMITS, NOW_MS, transaction
from tests.scoring_fakes import feature_row
from training.archive.columns import to_batches
from training.archive.read import (
    ArchiveVersion,
    archive_version,
    archived_days,
    archived_feature_rows,
    archived_labels,
)
from training.archive.store import ArchiveTable
from training.datasets.read_log import feature_table, label_table
from training.errors import ArchiveConflictError, NoArchiveError, NoFeatureRowsError

DAY_MS = 86_400_000


def row(transaction_id: str, *, count: int = 0, event_time_ms: int = NOW_MS) -> FeatureRow:
    whole = feature_row(
        transaction_id,
        features={"user_transaction_count_5m": count, "user_amount_mean_5m": None},
    )
    changed = transaction(
        transaction_id=transaction_id, event_time_ms=event_time_ms, device_type=None
    )
    return replace(whole, transaction=changed)


def rows(*given: FeatureRow) -> list[bytes | None]:
    return [encode_feature_row(one) for one in given]


def label(transaction_id: str, *, observed_ms: int, is_fraud: bool = True) -> bytes:
    return encode_label(
        Label(transaction_id, "m-1", LABEL.event_time_ms, observed_ms, is_fraud=is_fraud)
    )


def archive(url: Path, topic: str, values: Sequence[bytes | None], *, start: int = 0) -> None:
    table = ArchiveTable(str(url), topic)
    table.open_or_create()
    records = [Record(0, start + at, NOW_MS, value) for at, value in enumerate(values)]
    end = start + len(values)
    table.append(to_batches(topic, records, limits=LIMITS), next_offsets={0: end})
    assert table.next_offset(0) == end


def logged(values: Sequence[bytes | None]) -> list[Record]:
    return [Record(0, offset, NOW_MS, value) for offset, value in enumerate(values)]


def test_the_table_of_rows_is_that_of_the_log(tmp_path: Path) -> None:
    other = replace(row("t-9"), definition_digest="another")
    values = [*rows(row("t-1", count=1), row("t-2"), row("t-1", count=3), other), b"junk", None]
    archive(tmp_path, FEATURES, values[:2])
    archive(tmp_path, FEATURES, values[2:], start=2)
    pd.testing.assert_frame_equal(
        archived_feature_rows(str(tmp_path)), feature_table(logged(values))
    )


def test_the_table_of_labels_is_that_of_the_log(tmp_path: Path) -> None:
    values = [
        label("t-1", observed_ms=NOW_MS),
        label("t-2", observed_ms=NOW_MS),
        label("t-1", observed_ms=NOW_MS - 1, is_fraud=False),
        label("t-2", observed_ms=NOW_MS, is_fraud=False),
        b"junk",
    ]
    archive(tmp_path, LABELS, values)
    pd.testing.assert_frame_equal(
        archived_labels(str(tmp_path)), label_table(logged(values), limits=LIMITS)
    )


def test_a_label_counts_from_the_time_of_its_observation(tmp_path: Path) -> None:
    values = [label("t-1", observed_ms=NOW_MS + late) for late in (0,)]
    archive(tmp_path, LABELS, values)
    for as_of_ms, known in ((NOW_MS - 1, 0), (NOW_MS, 1), (NOW_MS + 1, 1)):
        assert len(archived_labels(str(tmp_path), as_of_ms=as_of_ms)) == known


def test_a_range_takes_its_first_moment_and_leaves_its_end(tmp_path: Path) -> None:
    values = rows(*(row(f"t{n}", event_time_ms=NOW_MS + n) for n in (-1, 0, 9, 10)))
    archive(tmp_path, FEATURES, values)
    found = archived_feature_rows(str(tmp_path), first_ms=NOW_MS, end_ms=NOW_MS + 10)
    assert found["transaction_id"].tolist() == ["t0", "t9"]


def test_an_empty_range_says_how_far_the_archive_goes(tmp_path: Path) -> None:
    archive(tmp_path, FEATURES, rows(row("t-1")))
    with pytest.raises(NoFeatureRowsError, match=r"1 feature rows.*weir archive status"):
        archived_feature_rows(str(tmp_path), first_ms=NOW_MS + 1, end_ms=NOW_MS + 2)


def test_a_version_hides_what_came_later(tmp_path: Path) -> None:
    archive(tmp_path, FEATURES, rows(row("t-1")))
    archive(tmp_path, LABELS, [label("t-1", observed_ms=NOW_MS)])
    before = archive_version(str(tmp_path), partitions=1)
    first = archived_feature_rows(str(tmp_path))
    archive(tmp_path, FEATURES, rows(row("t-2"), row("t-3")), start=1)
    archive(tmp_path, LABELS, [label("t-2", observed_ms=NOW_MS)], start=1)
    assert archive_version(str(tmp_path), partitions=1) != before
    assert before == ArchiveVersion({FEATURES: {0: 1}, LABELS: {0: 1}})
    pd.testing.assert_frame_equal(archived_feature_rows(str(tmp_path), version=before), first)
    assert len(archived_labels(str(tmp_path), version=before)) == 1


def test_rows_lie_in_the_partition_of_their_day(tmp_path: Path) -> None:
    values = rows(*(row(f"t{n}", event_time_ms=NOW_MS + n) for n in (-1, 0, DAY_MS - 1, DAY_MS)))
    archive(tmp_path, FEATURES, values)
    assert archived_days(str(tmp_path), FEATURES) == ["2026-11-23", "2026-11-24", "2026-11-25"]
    files = ArchiveTable(str(tmp_path), FEATURES).files()
    assert len(files) == 3
    assert all("event_date=2026-11-2" in file for file in files)


def test_two_who_archive_the_same_records_write_them_once(tmp_path: Path) -> None:
    archive(tmp_path, FEATURES, rows(row("t-1")))
    one, other = (ArchiveTable(str(tmp_path), FEATURES) for _ in range(2))
    batches = to_batches(FEATURES, [Record(0, 1, NOW_MS, *rows(row("t-2")))], limits=LIMITS)
    assert one.next_offset(0) == other.next_offset(0) == 1
    one.append(batches, next_offsets={0: 2})
    with pytest.raises(ArchiveConflictError, match="at the same time"):
        other.append(batches, next_offsets={0: 2})
    assert archived_feature_rows(str(tmp_path))["transaction_id"].tolist() == ["t-1", "t-2"]


def test_an_emptied_table_starts_at_the_beginning_of_the_log(tmp_path: Path) -> None:
    archive(tmp_path, FEATURES, rows(row("t-1")))
    table = ArchiveTable(str(tmp_path), FEATURES)
    table.empty([0])
    assert table.next_offset(0) == 0
    assert table.delta.count() == 0
    archive(tmp_path, FEATURES, rows(row("t-1")))
    assert len(archived_feature_rows(str(tmp_path))) == 1


def test_compaction_keeps_the_rows_and_the_offsets(tmp_path: Path) -> None:
    for n in range(5):
        archive(tmp_path, FEATURES, rows(row(f"t-{n}")), start=n)
    before = archived_feature_rows(str(tmp_path))
    table = ArchiveTable(str(tmp_path), FEATURES)
    figures = table.compact(keep_hours=0)
    assert figures == {"files_added": 1, "files_removed": 5, "files_deleted": 5}
    assert len(table.files()) == 1
    assert table.next_offset(0) == 5
    pd.testing.assert_frame_equal(archived_feature_rows(str(tmp_path)), before)


def test_no_archive_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NoArchiveError, match=f"{tmp_path}.*WEIR_ARCHIVE_URL"):
        archived_feature_rows(str(tmp_path))


def test_a_feature_that_no_archived_row_has_yet_has_no_values(tmp_path: Path) -> None:
    archive(tmp_path, FEATURES, rows(row("t-1", count=1)))
    url = f"{tmp_path}/{FEATURES}"
    older = DeltaTable(url).to_pyarrow_table().drop_columns(["user_amount_sum_7d"])
    write_deltalake(url, older, mode="overwrite", schema_mode="overwrite")
    found = archived_feature_rows(str(tmp_path))
    assert found["user_amount_sum_7d"].isna().all()
    assert found["user_transaction_count_5m"].tolist() == [1]
