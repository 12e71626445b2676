"""A verdict: what should happen next, with its reason and its figures in words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from schemas.rollout import CONTROL, SHARES_BP, Rollout, Status
from schemas.rollout_state import Figure

Action = Literal["go_on", "advance", "complete", "roll_back", "pause", "reallocate"]
Recommendation = Literal["promote", "keep", "go_on"]

_STATUS_AFTER: dict[Action, Status] = {
    "complete": "completed",
    "roll_back": "rolled_back",
    "pause": "paused",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What should happen to a rollout.

    Attributes:
        action: what the controller does now.
        reason: why, as a sentence.
        recommendation: of an A/B test, what a person should do; None for the other strategies.
        figures: the numbers behind it.
        shares_bp: shares after a ``reallocate``, by arm; empty otherwise.
    """

    action: Action
    reason: str
    recommendation: Recommendation | None = None
    figures: tuple[Figure, ...] = ()
    shares_bp: dict[str, int] = field(default_factory=dict)


def after(rollout: Rollout, verdict: Verdict, *, now_ms: int) -> Rollout | None:
    """Give the state after the verdict's action, with the next revision; None if it stays.

    The caller promotes the version before it writes a completed canary.

    Args:
        rollout: the present state.
        verdict: about it.
        now_ms: clock, ms since 1970 UTC.
    """
    if verdict.action == "go_on":
        return None
    revision = rollout.revision + 1
    if verdict.action == "pause":
        return replace(rollout, revision=revision, status="paused")
    status = _STATUS_AFTER.get(verdict.action, rollout.status)
    stage = rollout.stage + (verdict.action == "advance")
    shares_bp = _shares_after(rollout, verdict, stage)
    arms = tuple(replace(arm, share_bp=shares_bp[arm.name]) for arm in rollout.arms)
    return replace(
        rollout, revision=revision, status=status, arms=arms, stage=stage, stage_since_ms=now_ms
    )


def _shares_after(rollout: Rollout, verdict: Verdict, stage: int) -> dict[str, int]:
    if verdict.action == "reallocate":
        return verdict.shares_bp
    if verdict.action == "roll_back":
        return {arm.name: SHARES_BP * (arm.name == CONTROL) for arm in rollout.arms}
    challenger = rollout.challengers[0].name
    share_bp = SHARES_BP if verdict.action == "complete" else rollout.plan.stages_bp[stage]
    return {CONTROL: SHARES_BP - share_bp, challenger: share_bp}
