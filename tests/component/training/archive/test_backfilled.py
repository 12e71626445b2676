"""Which rows a backfill gives, and which of old and new rows count afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from tests.backfill_archives import archive, recomputed, row
from tests.builders import LIMITS, NOW_MS
from training.archive.backfill_input import folded_rows
from training.archive.backfilled import backfilled_rows, compare_with_old, is_backfilled
from training.archive.feature_rows import archived_feature_rows, read_range
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED
from training.archive.version import ArchiveVersion, archive_version
from training.errors import BackfillMismatchError


def store(url: str, rows: pa.Table) -> None:
    ArchiveTable(url, BACKFILLED).replace(rows, metadata={})


def column(table: pa.Table, name: str) -> list[Any]:
    found: list[Any] = table[name].to_pylist()
    return found


def test_backfilled_rows_have_the_offsets_and_times_of_the_old_rows(tmp_path: Path) -> None:
    url = archive(tmp_path, [row(0, count=1), row(1, count=2), row(2, digest=DEFINITION_DIGEST)])
    folded = folded_rows(url, until=None)
    assert column(folded, "is_old") == [True, True, False]
    assert not is_backfilled(url, folded)
    rows = backfilled_rows(recomputed(0, 1, 2), folded, limits=LIMITS)
    assert column(rows, "log_offset") == [0, 1]
    assert column(rows, "computed_at_ms") == [NOW_MS, NOW_MS + 1]
    assert column(rows, "log_timestamp_ms") == [NOW_MS, NOW_MS]
    store(url, rows)
    assert is_backfilled(url, folded)
    found = archived_feature_rows(url)
    assert found["user_transaction_count_5m"].tolist() == [9, 9, 0]
    assert found["log_offset"].tolist() == [0, 1, 2]


def test_a_second_backfill_gives_the_same_rows(tmp_path: Path) -> None:
    url = archive(tmp_path, [row(0), row(1)])
    folded = folded_rows(url, until=None)
    for values in (recomputed(0, 1), recomputed(1, 0)):
        store(url, backfilled_rows(values, folded, limits=LIMITS))
        assert archived_feature_rows(url)["transaction_id"].tolist() == ["t-0", "t-1"]


@pytest.mark.parametrize("numbers", [(0,), (0, 0), (0, 1, 2), (0, 5)])
def test_rows_of_other_transactions_than_were_folded_are_refused(
    tmp_path: Path, numbers: tuple[int, ...]
) -> None:
    folded = folded_rows(archive(tmp_path, [row(0), row(1)]), until=None)
    with pytest.raises(BackfillMismatchError, match="2 transactions were folded"):
        backfilled_rows(recomputed(*numbers), folded, limits=LIMITS)


def test_of_a_logged_and_a_backfilled_row_the_first_by_offset_counts(
    tmp_path: Path,
) -> None:
    again = row(1, count=4, digest=DEFINITION_DIGEST)
    late = replace(again, transaction=row(0).transaction)
    url = archive(tmp_path, [row(0), late])
    folded = folded_rows(url, until={0: 1})
    store(url, backfilled_rows(recomputed(0), folded, limits=LIMITS))
    assert archived_feature_rows(url)["user_transaction_count_5m"].tolist() == [9]
    assert read_range(url).repeats == 1


def test_a_version_limits_the_backfilled_rows(tmp_path: Path) -> None:
    url = archive(tmp_path, [row(0), row(1), row(2, digest=DEFINITION_DIGEST)])
    before = archive_version(url)
    store(url, backfilled_rows(recomputed(0, 1), folded_rows(url, until={0: 2}), limits=LIMITS))
    after = archive_version(url)
    assert after.next_offsets[BACKFILLED] == {0: 2}
    assert len(archived_feature_rows(url, version=before)) == 1
    assert len(archived_feature_rows(url, version=after)) == 3
    assert ArchiveVersion.from_json(after.to_json()) == after


def test_backfilled_rows_of_other_definitions_replace_nothing(
    tmp_path: Path,
) -> None:
    url = archive(tmp_path, [row(0), row(1, digest=DEFINITION_DIGEST)])
    folded = folded_rows(url, until={0: 1})
    rows = backfilled_rows(recomputed(0), folded, limits=LIMITS)
    at = rows.column_names.index("definition_digest")
    store(url, rows.set_column(at, rows.schema.field(at), pa.array(["of-yesterday"])))
    assert len(archived_feature_rows(url)) == 1
    assert not is_backfilled(url, folded)


def test_old_and_new_values_are_compared_if_both_definitions_have_the_feature(
    tmp_path: Path,
) -> None:
    url = archive(tmp_path, [row(0, count=9), row(1, count=8)])
    rows = backfilled_rows(recomputed(0, 1), folded_rows(url, until=None), limits=LIMITS)
    found = compare_with_old(url, rows)
    assert found.different == 1
    assert 0 < found.compared <= 2 * len(FEATURE_NAMES)
