"""The archive gives the same feature rows as the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake

from clients.log_record import Record
from schemas.feature_row import FeatureRow
from schemas.output_codec import encode_feature_row
from schemas.topics import FEATURES
from tests.archives import append_values
from tests.builders import NOW_MS, transaction
from tests.scoring_fakes import feature_row
from training.archive.feature_rows import (
    archived_feature_rows,
    archived_transactions,
    read_range,
)
from training.datasets.read_log import feature_table
from training.errors import NoArchiveError, NoFeatureRowsError


def row(transaction_id: str, *, count: int = 0, event_time_ms: int = NOW_MS) -> FeatureRow:
    whole = feature_row(
        transaction_id,
        features={"user_transaction_count_5m": count, "user_amount_mean_5m": None},
    )
    changed = transaction(
        transaction_id=transaction_id, event_time_ms=event_time_ms, device_type=None
    )
    return replace(whole, transaction=changed)


def rows(*given: FeatureRow) -> list[bytes]:
    return [encode_feature_row(one) for one in given]


def logged(values: Sequence[bytes | None]) -> list[Record]:
    return [Record(0, offset, NOW_MS, value) for offset, value in enumerate(values)]


def test_the_table_of_rows_is_that_of_the_log(tmp_path: Path) -> None:
    url = str(tmp_path)
    other = replace(row("t-9"), definition_digest="another")
    values = [*rows(row("t-1", count=1), row("t-2"), row("t-1", count=3), other), b"junk", None]
    append_values(url, FEATURES, values[:2])
    append_values(url, FEATURES, values[2:], start=2)
    pd.testing.assert_frame_equal(archived_feature_rows(url), feature_table(logged(values)))


def test_a_range_includes_its_first_moment_and_excludes_its_end(tmp_path: Path) -> None:
    url = str(tmp_path)
    values = rows(*(row(f"t{n}", event_time_ms=NOW_MS + n) for n in (-1, 0, 9, 10)))
    append_values(url, FEATURES, values)
    found = archived_feature_rows(url, first_ms=NOW_MS, end_ms=NOW_MS + 10)
    assert found["transaction_id"].tolist() == ["t0", "t9"]


def test_repeats_are_counted_in_the_range_of_their_own_event_time(tmp_path: Path) -> None:
    url = str(tmp_path)
    times_ms = (("a", 0), ("b", 20), ("a", 1), ("a", 30), ("b", 2))
    append_values(
        url, FEATURES, rows(*(row(t, event_time_ms=NOW_MS + late) for t, late in times_ms))
    )
    found = read_range(url, first_ms=NOW_MS, end_ms=NOW_MS + 10)
    assert found.table["transaction_id"].tolist() == ["a"]
    assert found.repeats == 2
    assert read_range(url).repeats == 3


def test_an_empty_range_says_what_the_archive_holds(tmp_path: Path) -> None:
    append_values(str(tmp_path), FEATURES, rows(row("t-1")))
    with pytest.raises(NoFeatureRowsError, match=r"1 feature rows.*weir archive status"):
        archived_feature_rows(str(tmp_path), first_ms=NOW_MS + 1, end_ms=NOW_MS + 2)


def test_a_missing_archive_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(NoArchiveError, match=f"{tmp_path}.*WEIR_ARCHIVE_URL"):
        archived_feature_rows(str(tmp_path))


def test_a_feature_that_no_archived_row_has_yet_is_null(tmp_path: Path) -> None:
    append_values(str(tmp_path), FEATURES, rows(row("t-1", count=1)))
    url = f"{tmp_path}/{FEATURES}"
    older = DeltaTable(url).to_pyarrow_table().drop_columns(["user_amount_sum_7d"])
    write_deltalake(url, older, mode="overwrite", schema_mode="overwrite")
    found = archived_feature_rows(str(tmp_path))
    assert found["user_amount_sum_7d"].isna().all()
    assert found["user_transaction_count_5m"].tolist() == [1]


def test_transactions_are_the_first_rows_of_any_definitions(tmp_path: Path) -> None:
    url = str(tmp_path)
    other = replace(row("t-9"), definition_digest="another")
    values = rows(row("t-1"), other, row("t-1", event_time_ms=NOW_MS + 1))
    append_values(url, FEATURES, [*values, b"junk"])
    found = archived_transactions(url).to_pylist()
    assert [one["transaction_id"] for one in found] == ["t-1", "t-9"]
    assert {one["event_time_ms"] for one in found} == {NOW_MS}
