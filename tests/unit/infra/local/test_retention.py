"""When the archiver is too far behind for what Kafka keeps."""

from __future__ import annotations

import pytest

from clients.kafka_log import OffsetRange
from infra.local.retention import RECORDS_MIN, _faults, _is_short
from schemas.settings import Settings

KEPT = {0: OffsetRange(1_000_000, 1_100_000), 1: OffsetRange(0, 0)}


@pytest.mark.parametrize(
    ("archived", "is_limited", "fault"),
    [
        (1_100_000, True, None),
        (1_050_000, True, None),
        (1_049_999, True, "Kafka holds 100,000 records, of which 50,001 are not archived"),
        (1_049_999, False, None),
        (1_000_000, False, None),
        (999_999, False, "1 records were deleted before they were archived"),
    ],
)
def test_a_retention_shorter_than_the_archivers_lag_is_a_fault(
    archived: int, is_limited: bool, fault: str | None
) -> None:
    found = _faults("labels", KEPT, {0: archived, 1: 0}, is_limited=is_limited)
    assert found == ([] if fault is None else [f"labels: {fault}"])


def test_a_few_records_that_are_not_archived_are_no_fault() -> None:
    ranges = {0: OffsetRange(0, RECORDS_MIN)}
    assert not _faults("labels", ranges, {0: 0}, is_limited=True)


def test_only_topics_with_a_limit_are_limited() -> None:
    assert Settings().retention_mib() == {}
    assert Settings(labels_retention_mib=5).retention_mib() == {"labels": 5}


@pytest.mark.parametrize(
    ("first", "end", "first_young", "is_short"),
    [
        (0, 100, 0, False),  # nothing was deleted
        (50, 100, 51, False),  # an older row is still there
        (50, 100, 50, True),
        (50, 100, 100, False),
        (100, 100, 100, False),  # all rows are too old, as are the decisions
    ],
)
def test_deleted_rows_are_missed_if_the_oldest_one_left_is_young(
    first: int, end: int, first_young: int, is_short: bool
) -> None:
    assert _is_short(OffsetRange(first, end), first_young=first_young) == is_short
