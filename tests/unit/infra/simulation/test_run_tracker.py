import json
from dataclasses import replace

import pytest

from infra.simulation.run_tracker import RunTracker
from schemas.decision import Decision, Outcome
from tests.builders import DECISION


def decision(transaction_id: str, kind: Outcome = "APPROVE") -> Decision:
    return replace(DECISION, transaction_id=transaction_id, decision=kind)


def tracker_of(count: int, *, first: int = 60_000, run: str = "d1-abc") -> RunTracker:
    tracker = RunTracker(run)
    for number in range(count):
        tracker.produced(f"{run}-{first + number:08d}", due_ms=1_000 + number)
    return tracker


def test_the_last_line_is_one_json_object_with_these_names_in_this_order() -> None:
    line = tracker_of(2).summary(feature_mismatches=0).to_json()
    assert "\n" not in line
    assert list(json.loads(line)) == [
        "produced",
        "features",
        "decisions",
        "lost",
        "duplicates",
        "dead_letters",
        "p50_ms",
        "p99_ms",
        "feature_mismatches",
        "model_version",
    ]


def test_what_is_not_decided_is_lost() -> None:
    tracker = tracker_of(3)
    tracker.featured("d1-abc-00060000")
    tracker.featured("d1-abc-00060001")
    tracker.decided(decision("d1-abc-00060000"), received_ms=1_010)
    summary = tracker.summary(feature_mismatches=None)
    assert (summary.produced, summary.features, summary.decisions, summary.lost) == (3, 2, 1, 2)
    assert (tracker.undecided, tracker.unfeatured) == (2, 1)


def test_repeated_decisions_are_counted_and_contradicting_ones_too() -> None:
    tracker = tracker_of(1)
    for kind in ("APPROVE", "APPROVE", "BLOCK"):
        tracker.decided(decision("d1-abc-00060000", kind), received_ms=1_010)  # type: ignore[arg-type]
    summary = tracker.summary(feature_mismatches=0)
    assert (summary.decisions, summary.duplicates, tracker.contradictions) == (1, 2, 1)


def test_a_repeated_feature_row_counts_once() -> None:
    tracker = tracker_of(1)
    tracker.featured("d1-abc-00060000")
    tracker.featured("d1-abc-00060000")
    assert tracker.summary(feature_mismatches=0).features == 1


@pytest.mark.parametrize(
    "transaction_id", ["d1-xyz-00060000", "t-1", "d1-abc-00059999", "d1-abc-00060001"]
)
def test_what_others_or_earlier_runs_send_is_not_counted(transaction_id: str) -> None:
    tracker = tracker_of(1)
    tracker.featured(transaction_id)
    tracker.decided(decision(transaction_id), received_ms=1_010)
    summary = tracker.summary(feature_mismatches=0)
    assert (summary.features, summary.decisions, summary.duplicates) == (0, 0, 0)


def test_dead_letters_of_the_run_count_its_labels_included() -> None:
    tracker = tracker_of(1)
    for event_id in ("d1-abc-00060000", "d1-abc-00000007@123", "t-1", ""):
        tracker.refused(event_id)
    assert tracker.summary(feature_mismatches=0).dead_letters == 2


def test_latency_counts_from_the_due_time_and_not_during_the_warm_up() -> None:
    tracker = tracker_of(3)
    tracker.decided(decision("d1-abc-00060000"), received_ms=1_900.0)
    tracker.measure_from(1_001)
    tracker.decided(decision("d1-abc-00060001"), received_ms=1_001 + 10.0)
    tracker.decided(decision("d1-abc-00060002"), received_ms=1_002 + 30.0)
    summary = tracker.summary(feature_mismatches=0)
    assert (summary.p50_ms, summary.p99_ms) == (10.0, 30.0)
    assert tracker.snapshot().p99_ms == 900.0


def test_the_view_has_the_newest_decision_first() -> None:
    tracker = tracker_of(2)
    tracker.decided(decision("d1-abc-00060000"), received_ms=1_010)
    tracker.decided(decision("d1-abc-00060001", "BLOCK"), received_ms=1_020)
    snapshot = tracker.snapshot()
    assert [shown.transaction_id[-1] for shown, _ in snapshot.latest] == ["1", "0"]
    assert snapshot.by_kind == {"APPROVE": 1, "BLOCK": 1}
