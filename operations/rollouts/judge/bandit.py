"""The judgement of a bandit: the next shares."""

from __future__ import annotations

from operations.rollouts.judge.verdict import Verdict
from operations.rollouts.judge.words import count, duration, percent
from operations.rollouts.state import RolloutState
from operations.rollouts.statistics.thompson import shares_bp
from schemas.rollout import SHARES_BP, Rollout


def judge_bandit(rollout: Rollout, state: RolloutState, *, now_ms: int) -> Verdict:
    """Judge a running bandit whose guards hold."""
    plan = rollout.plan
    remaining_ms = rollout.stage_since_ms + plan.reallocation_ms_min - now_ms
    if remaining_ms > 0:
        return Verdict("go_on", f"The shares may change in {duration(remaining_ms)}.")
    matures = [state.totals[arm.name].mature for arm in rollout.arms]
    if not all(each.count for each in matures):
        return Verdict("go_on", "An arm has no decision with a mature label yet.")
    shares = shares_bp(
        [each.count - each.total for each in matures],
        [each.count for each in matures],
        floor_bp=plan.exploration_bp_min,
        seed=f"{rollout.rollout_id}/{rollout.revision + 1}",
    )
    after = {arm.name: share for arm, share in zip(rollout.arms, shares, strict=True)}
    if after == {arm.name: arm.share_bp for arm in rollout.arms}:
        return Verdict("go_on", "The shares are those that the rewards ask for.")
    described = ", ".join(f"{name} {percent(bp / SHARES_BP)}" for name, bp in after.items())
    return Verdict(
        "reallocate",
        f"Each arm gets the probability that its reward is the best, from "
        f"{count(state.mature_decisions)} decisions with mature labels: {described}.",
        shares_bp=after,
    )
