"""Which transactions a backfill folds, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backfill_archives import archive, row
from training.archive.backfill_input import folded_labels, folded_rows
from training.errors import NoFeatureRowsError


def test_each_transaction_before_the_given_offsets_is_folded_once(tmp_path: Path) -> None:
    # The job failed after offset 1 and repeated it.
    url = archive(tmp_path, [row(0), row(1), row(1, count=5), row(2), row(3)])
    assert folded_rows(url, until=None)["origin_offset"].to_pylist() == [0, 1, 2, 3]
    folded = folded_rows(url, until={0: 2})
    assert folded["origin_offset"].to_pylist() == [0, 1]
    assert folded["log_offset"].to_pylist() == [0, 1]
    with pytest.raises(NoFeatureRowsError):
        folded_rows(url, until={1: 9})
    assert len(folded_labels(url, until=None)) == 0


def test_rows_are_ordered_by_sequence_and_a_repeat_follows_its_transaction(
    tmp_path: Path,
) -> None:
    rows = [
        row(0, user_sequence=2, merchant_sequence=9),
        row(1, user_sequence=2, merchant_sequence=9, repeat=True),
        row(2, user_sequence=1, merchant_sequence=4),
    ]
    folded = folded_rows(archive(tmp_path, [rows[1], rows[0], rows[2]]), until=None)
    offsets = folded["origin_offset"].to_pylist()
    for name in ("user_order", "merchant_order"):
        order = dict(zip(offsets, folded[name].to_pylist(), strict=True))
        assert sorted(order, key=lambda offset: order[offset]) == [2, 0, 1]
    until = dict(zip(offsets, folded["labels_until"].to_pylist(), strict=True))
    assert until == {0: 8, 1: 9, 2: 3}
