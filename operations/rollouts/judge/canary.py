"""The judgement of a canary: on to the next stage, not yet, or done.

The guards are judged before, in ``judgement``.
"""

from __future__ import annotations

from operations.rollouts.judge.verdict import Verdict
from operations.rollouts.judge.words import count, duration, percent
from operations.rollouts.state import RolloutState
from schemas.rollout import SHARES_BP, Rollout


def judge_canary(rollout: Rollout, state: RolloutState, *, now_ms: int) -> Verdict:
    """Judge a running canary whose guards hold."""
    plan = rollout.plan
    challenger = rollout.challengers[0]
    here = f"Stage {rollout.stage + 1} of {len(plan.stages_bp)} ({_share(challenger.share_bp)})"
    missing = _missing(rollout, state, now_ms)
    is_last = rollout.stage == len(plan.stages_bp) - 1
    if missing:
        target = "completes" if is_last else "advances"
        return Verdict("go_on", f"{here}: no guard is broken; it {target} after {missing}.")
    decisions = state.stage_decisions(challenger.name, rollout.stage)
    passed = (
        f"{here} is passed: {count(decisions)} decisions in "
        f"{duration(now_ms - rollout.stage_since_ms)}, no guard is broken"
    )
    if is_last:
        return Verdict("complete", f"{passed}; version {challenger.version} takes over.")
    return Verdict(
        "advance", f"{passed}; it goes on at {_share(plan.stages_bp[rollout.stage + 1])}."
    )


def _missing(rollout: Rollout, state: RolloutState, now_ms: int) -> str:
    """Say what is missing for the next step; empty if nothing is."""
    plan = rollout.plan
    missing = []
    remaining_ms = rollout.stage_since_ms + plan.stage_ms_min - now_ms
    if remaining_ms > 0:
        missing.append(duration(remaining_ms))
    decisions = state.stage_decisions(rollout.challengers[0].name, rollout.stage)
    if decisions < plan.stage_decisions_min:
        missing.append(f"{count(plan.stage_decisions_min - decisions)} more decisions")
    next_bp = plan.stages_bp[min(rollout.stage + 1, len(plan.stages_bp) - 1)]
    mature = min(totals.mature.count for totals in state.totals.values())
    if next_bp > plan.unlabelled_share_bp_max and mature < plan.matured_decisions_min:
        missing.append(
            f"the labels of {count(plan.matured_decisions_min - mature)} more decisions of each "
            f"arm are mature ({duration(plan.label_maturity_ms)} old)"
        )
    return " and ".join(missing)


def _share(share_bp: int) -> str:
    return f"{percent(share_bp / SHARES_BP)} of the traffic"
