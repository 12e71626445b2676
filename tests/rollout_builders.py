"""Valid rollouts for tests, one for each strategy, each field open to change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from schemas.rollout import CONTROL, Arm, Rollout, RolloutChange, Strategy
from tests.builders import NOW_MS

_SHARES_BP: dict[Strategy, tuple[int, int]] = {
    "canary": (9_500, 500),
    "ab": (5_000, 5_000),
    "shadow": (10_000, 0),
    "blue_green": (10_000, 0),
    "bandit": (5_000, 5_000),
}


def arms(control_bp: int, challenger_bp: int) -> tuple[Arm, Arm]:
    """Version 3 as control, version 4 as challenger."""
    return Arm(CONTROL, "3", control_bp), Arm("challenger", "4", challenger_bp)


def rollout(strategy: Strategy = "canary", **changes: Any) -> Rollout:
    """A rollout at its start."""
    started = Rollout(
        rollout_id="r-1",
        revision=1,
        model_name="weir-fraud",
        strategy=strategy,
        status="running",
        arms=arms(*_SHARES_BP[strategy]),
        salt="salt-1",
        started_at_ms=NOW_MS,
        stage_since_ms=NOW_MS,
    )
    return replace(started, **changes)


def start_of(started: Rollout) -> RolloutChange:
    """The change that starts it."""
    return RolloutChange(
        change_id=f"c-{started.revision}",
        changed_at_ms=NOW_MS,
        changed_by="anna",
        reason="Started.",
        rollout=started,
    )
