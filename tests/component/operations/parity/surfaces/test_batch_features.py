"""Batch features in decisions against the snapshots that they should be of."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from features.batch import BATCH_AGE_MS_MAX, BATCH_NAMES, NO_HISTORY
from features.definitions import DAY_MS
from features.online.batch_values import STALE
from operations.parity.report import SurfaceReport
from operations.parity.surfaces.batch_features import BatchComparison, SnapshotRow
from schemas.decision import Decision
from tests.builders import DECISION, NOW_MS

VALUES = {**NO_HISTORY, BATCH_NAMES[0]: 3, BATCH_NAMES[1]: 0.1 + 0.2}
OLDER = {**VALUES, BATCH_NAMES[0]: 2}
SNAPSHOTS = [
    SnapshotRow("u-1", NOW_MS - DAY_MS, OLDER),
    SnapshotRow("u-1", NOW_MS, VALUES),
    SnapshotRow("left", NOW_MS - DAY_MS, OLDER),
]


def decided(
    user_id: str = "u-1",
    features: dict[str, int | float | None] | None = None,
    *,
    as_of_ms: int | None = NOW_MS,
    event_time_ms: int = NOW_MS + 5,
    degraded: tuple[str, ...] = (),
) -> Decision:
    of_batch = VALUES if features is None else features
    return replace(
        DECISION,
        user_id=user_id,
        features={**DECISION.features, **of_batch},
        batch_as_of_ms=as_of_ms,
        event_time_ms=event_time_ms,
        degraded=degraded,
    )


def compare(*decisions: Decision) -> SurfaceReport:
    comparison = BatchComparison()
    for decision in decisions:
        comparison.take(decision)

    def read(first_ms: int, last_ms: int) -> Iterator[SnapshotRow]:
        return (row for row in SNAPSHOTS if first_ms <= row.snapshot_ms <= last_ms)

    return comparison.compare(read)


def test_true_values_are_those_of_the_newest_snapshot_up_to_the_named_one() -> None:
    report = compare(
        decided(),
        decided(features=OLDER, as_of_ms=NOW_MS - DAY_MS),
        decided("left", features=OLDER),
        decided("nobody", features=dict(NO_HISTORY)),
        decided(features=dict.fromkeys(BATCH_NAMES), as_of_ms=None, degraded=(STALE,)),
    )  # fmt: skip
    assert report == SurfaceReport(checked=5 * len(BATCH_NAMES))


def test_decisions_without_batch_features_are_not_compared() -> None:
    assert compare(DECISION) == SurfaceReport()


def test_only_the_columns_of_the_model_are_compared() -> None:
    report = compare(decided(features={BATCH_NAMES[0]: 3}))
    assert report == SurfaceReport(checked=1)


@pytest.mark.parametrize("broken", [4, None, 3.0000000000000004])
def test_a_broken_value_is_found(broken: float | None) -> None:
    report = compare(decided(), decided(features={**VALUES, BATCH_NAMES[0]: broken}))
    assert (report.checked, report.mismatched) == (2 * len(BATCH_NAMES), 1)
    (difference,) = report.differences
    assert (difference.feature, difference.logged) == (BATCH_NAMES[0], broken)
    assert difference.recomputed == 3


def test_values_of_another_day_than_the_named_one_are_found() -> None:
    assert compare(decided(features=OLDER)).mismatched == 1
    assert compare(decided(as_of_ms=NOW_MS - DAY_MS)).mismatched == 1


def test_history_of_nobody_and_no_history_of_somebody_are_found() -> None:
    assert compare(decided("nobody")).mismatched == 2
    assert compare(decided(features=dict(NO_HISTORY))).mismatched == 2


@pytest.mark.parametrize(
    ("age_ms", "mismatched"),
    [(-1, 1), (0, 0), (BATCH_AGE_MS_MAX, 0), (BATCH_AGE_MS_MAX + 1, 1)],
)
def test_a_snapshot_after_the_event_or_too_long_before_it_is_found(
    age_ms: int, mismatched: int
) -> None:
    assert compare(decided(event_time_ms=NOW_MS + age_ms)).mismatched == mismatched


def test_a_snapshot_that_is_too_old_for_the_event_no_longer_counts() -> None:
    # Of the user who left the window: usable up to two days after his last snapshot.
    last_ms = NOW_MS - DAY_MS + BATCH_AGE_MS_MAX
    assert compare(decided("left", features=OLDER, event_time_ms=last_ms)).is_clean
    assert compare(decided("left", features=dict(NO_HISTORY), event_time_ms=last_ms + 1)).is_clean


def test_nulls_need_a_reason_and_a_reason_needs_nulls() -> None:
    nulls: dict[str, int | float | None] = dict.fromkeys(BATCH_NAMES)
    words = ("batch_features_missing",)
    assert compare(decided(features=nulls, as_of_ms=None)).mismatched == 1
    assert compare(decided(as_of_ms=None, degraded=words)).mismatched == len(VALUES)
    assert compare(decided(degraded=words)).mismatched == 1
    assert compare(replace(DECISION, batch_as_of_ms=NOW_MS)).mismatched == 1
