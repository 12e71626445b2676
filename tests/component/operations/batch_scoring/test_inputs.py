"""What is scored, cut into parts: days of the archive, and tables of features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.definitions import DAY_MS
from models.catalogue import transaction_model
from models.encoding.vector import VectorSpec
from operations.batch_scoring.errors import FeatureTableError, NoRowsToScoreError
from operations.batch_scoring.inputs import Inputs, find_inputs
from operations.batch_scoring.request import DayRange, FeatureTable, Request, Rows
from schemas.settings import Settings
from tests.scored_archive import FIRST_DAY_MS, write_archive

SPEC = VectorSpec(("amount_minor", "user_amount_sum_1h"), {})


def found(url: Path, scratch: Path, rows: Rows, **changes: Any) -> Inputs:
    request = Request(
        rows=rows,
        sink="delta:out",
        table="predictions",
        definition=transaction_model(Settings()),
        model_version="1",
        entity_column="shop",
        rows_a_part=50,
    )
    return find_inputs(str(url), replace(request, **changes), spec=SPEC, scratch=scratch)


def test_days_are_cut_into_parts_that_never_cross_midnight(tmp_path: Path) -> None:
    write_archive(str(tmp_path / "a"), 400, days=4, chunk_rows=40)
    days = DayRange(FIRST_DAY_MS + DAY_MS, FIRST_DAY_MS + 3 * DAY_MS)
    inputs = found(tmp_path / "a", tmp_path, days)
    assert inputs.rows == 200
    assert inputs.prediction_dates == ("2026-06-02", "2026-06-03")
    for date in inputs.prediction_dates:
        *others, last = [cut.rows for cut in inputs.cuts if cut.prediction_date == date]
        assert sum(others) + last == 100
        assert min(others) >= 50
    again = found(tmp_path / "a", tmp_path, days)
    assert again == inputs
    write_archive(str(tmp_path / "b"), 401, days=4)
    assert found(tmp_path / "b", tmp_path, days).data_version != inputs.data_version


def write(path: Path, **changes: Any) -> None:
    columns = {"shop": [7, 8, 9], "amount_minor": [1, 2, 3], "user_amount_sum_1h": [1.0, 2.0, None]}
    kept = {name: values for name, values in (columns | changes).items() if values is not None}
    pq.write_table(pa.table(kept), path)


def test_a_table_of_features_is_scored_whole_and_named_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "features.parquet"
    write(path)
    table = FeatureTable(str(tmp_path), FIRST_DAY_MS)
    first = found(tmp_path, tmp_path, table)
    assert (first.rows, first.prediction_dates) == (3, ("2026-06-01",))
    write(path, amount_minor=[1, 2, 4])
    assert found(tmp_path, tmp_path, table).data_version != first.data_version


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"amount_minor": None}, r"lacks the columns \['amount_minor'\]"),
        ({"shop": None}, r"lacks the columns \['shop'\]"),
        ({"shop": [7, 8, 7]}, "2 rows have the shop '7'"),
        ({"shop": [7, 8, pa.NA]}, "1 rows have the shop None"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused_before_any_work(
    tmp_path: Path, changes: dict[str, Any], match: str
) -> None:
    shops = [None if shop is pa.NA else shop for shop in changes.get("shop") or []]
    write(tmp_path / "features.parquet", **(changes | ({"shop": shops} if shops else {})))
    with pytest.raises(FeatureTableError, match=match):
        found(tmp_path, tmp_path, FeatureTable(str(tmp_path), FIRST_DAY_MS))


def test_a_directory_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoRowsToScoreError, match="--features"):
        found(tmp_path, tmp_path, FeatureTable(str(tmp_path), FIRST_DAY_MS))
