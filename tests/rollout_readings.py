"""What a controller has counted, for tests."""

from __future__ import annotations

from schemas.rollout_state import ArmReading, Figure, RolloutReading
from tests.builders import NOW_MS

READING = RolloutReading(
    rollout_id="r-1",
    revision=3,
    counted_at_ms=NOW_MS,
    started_at_ms=NOW_MS - 3_600_000,
    latest_decision_ms=NOW_MS - 1_000,
    latest_label_ms=None,
    verdict="Go on.",
    recommendation="go_on",
    arms=(
        ArmReading("control", 10, 0, {"APPROVE": 9, "REVIEW": 1, "BLOCK": 0}, 0.1, 0, None),
        ArmReading("challenger", 9, 1, {"APPROVE": 9, "REVIEW": 0, "BLOCK": 0}, 0.2, 5, 0.25),
    ),
    figures=(Figure("lift", None, "Too few losses."), Figure("p_value", 0.5, "p.")),
    notes=("Kafka had deleted 3 records.",),
)
