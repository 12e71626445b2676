from dataclasses import replace

import pytest

from infra.demo.outcome import DemoOutcome
from infra.simulation.run_summary import RunSummary

WELL = RunSummary(
    produced=3, features=3, decisions=3, lost=0, duplicates=0, dead_letters=0,
    p50_ms=1.0, p99_ms=2.0, feature_mismatches=0, model_version="1",
)  # fmt: skip


def test_a_run_is_well_when_nothing_is_wrong() -> None:
    assert DemoOutcome(WELL, "1", contradictions=0).is_well
    assert DemoOutcome(replace(WELL, duplicates=5), "1", contradictions=0).is_well


@pytest.mark.parametrize(
    "wrong",
    [
        {"produced": 0, "features": 0, "decisions": 0},
        {"decisions": 2, "lost": 1},
        {"features": 2},
        {"dead_letters": 1},
        {"feature_mismatches": 1},
        {"feature_mismatches": None},
        {"model_version": "2"},
    ],
)
def test_a_run_is_not_well_when_anything_is(wrong: dict[str, int | str | None]) -> None:
    assert not DemoOutcome(replace(WELL, **wrong), "1", contradictions=0).is_well  # type: ignore[arg-type]


def test_a_run_with_contradicting_decisions_is_not_well() -> None:
    assert not DemoOutcome(WELL, "1", contradictions=1).is_well
