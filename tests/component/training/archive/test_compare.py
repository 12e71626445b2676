"""The comparison of a slice of the archive with its log; the rest needs a broker."""

from __future__ import annotations

import pyarrow as pa

from clients.log_record import Record
from schemas.topics import FEATURES
from tests.builders import LIMITS, NOW_MS
from tests.component.training.archive.test_feature_rows import row, rows
from training.archive.columns import to_batches
from training.archive.compare import ArchiveComparison, _compare
from training.archive.tables import SCHEMAS


def table(*ids: str) -> pa.Table:
    values = rows(*(row(each) for each in ids))
    records = [Record(0, at, NOW_MS, value) for at, value in enumerate(values)]
    return pa.Table.from_batches(
        to_batches(FEATURES, records, limits=LIMITS), schema=SCHEMAS[FEATURES]
    )


def compared(logged: pa.Table, archived: pa.Table) -> ArchiveComparison:
    found = ArchiveComparison(FEATURES)
    _compare(found, 0, logged=logged, archived=archived)
    return found


def test_a_column_that_the_archive_does_not_have_yet_is_null_in_its_rows() -> None:
    logged = table("t-1", "t-2")
    before = logged.drop_columns(["other_features"]).select(
        [name for name in reversed(logged.column_names) if name != "other_features"]
    )
    assert compared(logged, before).is_equal
    without = logged.drop_columns(["user_id"])
    assert compared(logged, without).different == 2


def test_missing_extra_and_different_rows_are_counted() -> None:
    logged = table("t-1", "t-2", "t-3")
    found = compared(logged, pa.concat_tables([table("t-1", "other"), table("t-1")]))
    assert (found.rows, found.missing, found.extra, found.different) == (3, 1, 1, 1)
    assert found.differences == [(0, 1)]
