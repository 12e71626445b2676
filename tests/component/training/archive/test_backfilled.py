"""What a backfill folds, in which order, and what stands for what afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from clients.log_record import Record
from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas.feature_row import FeatureRow, Origin
from schemas.output_codec import encode_feature_row
from schemas.topics import FEATURES, LABELS
from tests.builders import LIMITS, NOW_MS, transaction
from tests.scoring_fakes import feature_row
from training.archive.backfilled import (
    backfill_status,
    backfilled_rows,
    compare_with_old,
    folded_labels,
    folded_rows,
    is_backfilled,
)
from training.archive.columns import to_batches
from training.archive.read import (
    ArchiveVersion,
    archive_version,
    archived_feature_rows,
    count_repeats,
)
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED
from training.errors import BackfillMismatchError, NoFeatureRowsError

OLD = "of-last-year"
ALL_TIME: dict[str, Any] = {"first_ms": 0, "end_ms": NOW_MS + 1}


def row(number: int, *, count: int = 0, digest: str = OLD, **changes: Any) -> FeatureRow:
    """The row of the transaction at offset ``number``."""
    whole = feature_row(f"t-{number}", features={"user_transaction_count_5m": count})
    return replace(
        whole,
        **{
            "transaction": transaction(transaction_id=f"t-{number}", event_time_ms=NOW_MS),
            "definition_digest": digest,
            "origin": Origin(0, number, NOW_MS - 5),
            "user_sequence": number + 1,
            "merchant_sequence": number + 1,
            "computed_at_ms": NOW_MS + number,
            **changes,
        },
    )


def archive(url: Path, rows: Sequence[FeatureRow]) -> str:
    for topic, values in ((FEATURES, [encode_feature_row(one) for one in rows]), (LABELS, [])):
        table = ArchiveTable(str(url), topic)
        table.open_or_create()
        records = [Record(0, at, NOW_MS, value) for at, value in enumerate(values)]
        if records:
            batches = to_batches(topic, records, limits=LIMITS)
            table.append(batches, next_offsets={0: len(records)})
    return str(url)


def recomputed(*numbers: int, count: int = 9) -> list[bytes]:
    """What Flink gives back, in any order."""
    given = [
        encode_feature_row(row(at, count=count, digest=DEFINITION_DIGEST, computed_at_ms=0))
        for at in numbers
    ]
    return list(reversed(given))


def store(url: str, rows: pa.Table) -> None:
    ArchiveTable(url, BACKFILLED).replace(rows, metadata={})


def column(table: pa.Table, name: str) -> list[Any]:
    found: list[Any] = table[name].to_pylist()
    return found


def test_each_transaction_is_folded_once_and_up_to_where_the_job_goes_on(tmp_path: Path) -> None:
    # The job failed after offset 1 and repeated it.
    url = archive(tmp_path, [row(0), row(1), row(1, count=5), row(2), row(3)])
    assert column(folded_rows(url, until=None), "origin_offset") == [0, 1, 2, 3]
    folded = folded_rows(url, until={0: 2})
    assert column(folded, "origin_offset") == [0, 1]
    assert column(folded, "log_offset") == [0, 1]
    with pytest.raises(NoFeatureRowsError):
        folded_rows(url, until={1: 9})
    assert len(folded_labels(url, until=None)) == 0


def test_the_order_is_that_of_the_states_and_a_repeat_comes_after_its_transaction(
    tmp_path: Path,
) -> None:
    rows = [
        row(0, user_sequence=2, merchant_sequence=9),
        row(1, user_sequence=2, merchant_sequence=9, repeat=True),
        row(2, user_sequence=1, merchant_sequence=4),
    ]
    folded = folded_rows(archive(tmp_path, [rows[1], rows[0], rows[2]]), until=None)
    offsets = column(folded, "origin_offset")
    for name in ("user_order", "merchant_order"):
        order = dict(zip(offsets, column(folded, name), strict=True))
        assert sorted(order, key=lambda offset: order[offset]) == [2, 0, 1]
    until = dict(zip(offsets, column(folded, "labels_until"), strict=True))
    assert until == {0: 8, 1: 9, 2: 3}


def test_rows_stand_where_the_old_ones_stand_and_say_their_clock(tmp_path: Path) -> None:
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


def test_doing_it_again_gives_the_same_rows(tmp_path: Path) -> None:
    url = archive(tmp_path, [row(0), row(1)])
    folded = folded_rows(url, until=None)
    for values in (recomputed(0, 1), recomputed(1, 0)):
        store(url, backfilled_rows(values, folded, limits=LIMITS))
        assert archived_feature_rows(url)["transaction_id"].tolist() == ["t-0", "t-1"]


@pytest.mark.parametrize("numbers", [(0,), (0, 0), (0, 1, 2), (0, 5)])
def test_other_rows_than_went_in_are_refused(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    folded = folded_rows(archive(tmp_path, [row(0), row(1)]), until=None)
    with pytest.raises(BackfillMismatchError, match="2 transactions were folded"):
        backfilled_rows(recomputed(*numbers), folded, limits=LIMITS)


def test_a_transaction_with_a_logged_and_a_backfilled_row_counts_once_the_first_by_place(
    tmp_path: Path,
) -> None:
    again = row(1, count=4, digest=DEFINITION_DIGEST)
    late = replace(again, transaction=row(0).transaction)
    url = archive(tmp_path, [row(0), late])
    folded = folded_rows(url, until={0: 1})
    store(url, backfilled_rows(recomputed(0), folded, limits=LIMITS))
    assert archived_feature_rows(url)["user_transaction_count_5m"].tolist() == [9]
    assert count_repeats(url, **ALL_TIME) == 1


def test_a_version_says_which_backfilled_rows_it_knows(tmp_path: Path) -> None:
    url = archive(tmp_path, [row(0), row(1), row(2, digest=DEFINITION_DIGEST)])
    before = archive_version(url, partitions=1)
    store(url, backfilled_rows(recomputed(0, 1), folded_rows(url, until={0: 2}), limits=LIMITS))
    after = archive_version(url, partitions=1)
    assert after.next_offsets[BACKFILLED] == {0: 2}
    assert len(archived_feature_rows(url, version=before)) == 1
    assert len(archived_feature_rows(url, version=after)) == 3
    assert ArchiveVersion.from_json(after.to_json()) == after


def test_rows_of_another_definition_stand_for_nothing_once_the_definitions_change(
    tmp_path: Path,
) -> None:
    url = archive(tmp_path, [row(0), row(1, digest=DEFINITION_DIGEST)])
    folded = folded_rows(url, until={0: 1})
    rows = backfilled_rows(recomputed(0), folded, limits=LIMITS)
    at = rows.column_names.index("definition_digest")
    store(url, rows.set_column(at, rows.schema.field(at), pa.array(["of-yesterday"])))
    assert len(archived_feature_rows(url)) == 1
    assert not is_backfilled(url, folded)


def test_old_and_new_values_are_compared_where_both_definitions_have_the_feature(
    tmp_path: Path,
) -> None:
    url = archive(tmp_path, [row(0, count=9), row(1, count=8)])
    rows = backfilled_rows(recomputed(0, 1), folded_rows(url, until=None), limits=LIMITS)
    found = compare_with_old(url, rows)
    assert found.different == 1
    assert 0 < found.compared <= 2 * len(FEATURE_NAMES)


def test_status_says_since_when_features_are_complete(tmp_path: Path) -> None:
    url = archive(tmp_path, [row(0)])
    assert backfill_status(url) is None
    folded = folded_rows(url, until=None)
    store(url, backfilled_rows(recomputed(0), folded, limits=LIMITS))
    status = backfill_status(url)
    assert status is not None
    assert (status.rows, status.definition_digest) == (1, DEFINITION_DIGEST)
    assert status.complete_since_ms["user_amount_sum_1h"] == NOW_MS + 3_600_000
