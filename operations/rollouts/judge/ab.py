"""The judgement of an A/B test: a recommendation that a person follows or not.

Either every look counts, then the confidence sequence decides; or one look was planned, then the
z-test at that look decides. Never both, so that a false winner has the probability alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

from operations.rollouts.judge.verdict import Recommendation, Verdict
from operations.rollouts.judge.words import chance, change, count, percent
from operations.rollouts.state import RolloutState
from operations.rollouts.statistics.confidence_sequence import DifferenceSequence, Interval
from operations.rollouts.statistics.fixed_tests import ZTest, sample_size, two_proportion_test
from schemas.rollout import CONTROL, SHARES_BP, Rollout
from schemas.rollout_state import Figure


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What decides: p-values for and against the challenger, and whether they count yet."""

    p_better: float
    p_worse: float
    is_due: bool
    until: str


def judge_ab(rollout: Rollout, state: RolloutState) -> Verdict:
    """Judge a running A/B test whose guards hold."""
    challenger = rollout.challengers[0]
    difference = state.challengers[challenger.name].difference
    assert difference is not None
    planned = _planned_test(rollout, state)
    evidence = _evidence(rollout, state, difference, planned)
    recommendation, sentence = _recommended(rollout, evidence)
    return Verdict(
        "go_on",
        sentence,
        recommendation,
        tuple(_figures(rollout, state, difference, planned)),
    )


def _planned_test(rollout: Rollout, state: RolloutState) -> ZTest | None:
    control = state.totals[CONTROL].planned
    challenger = state.totals[rollout.challengers[0].name].planned
    if control is None or challenger is None or not control.count or not challenger.count:
        return None
    return two_proportion_test(control, challenger, alpha=rollout.plan.alpha)


def _evidence(
    rollout: Rollout, state: RolloutState, difference: DifferenceSequence, planned: ZTest | None
) -> _Evidence:
    plan = rollout.plan
    if plan.planned_decisions:
        missing = plan.planned_decisions - state.mature_decisions
        until = f"the planned look, after the labels of {count(max(missing, 0))} more decisions"
        if planned is None:
            return _Evidence(1.0, 1.0, is_due=False, until=until)
        p_value = planned.p_value
        is_better = planned.difference < 0
        return _Evidence(
            p_value if is_better else 1.0, 1.0 if is_better else p_value, is_due=True, until=""
        )
    fewest = min(totals.mature.count for totals in state.totals.values())
    missing = plan.matured_decisions_min - fewest
    return _Evidence(
        difference.p_value_better,
        difference.p_value_worse,
        is_due=missing <= 0,
        until=f"the labels of {count(max(missing, 0))} more decisions of each arm are mature",
    )


def _recommended(rollout: Rollout, evidence: _Evidence) -> tuple[Recommendation, str]:
    alpha = rollout.plan.alpha
    version = rollout.challengers[0].version
    if not evidence.is_due:
        return "go_on", f"Go on: it is too early for a result; wait for {evidence.until}."
    if evidence.p_better <= alpha and evidence.p_better <= evidence.p_worse:
        return "promote", (
            f"Promote version {version}: its loss is smaller. If there were no difference, such a "
            f"result would have a chance of {chance(evidence.p_better)}; the test asks for "
            f"{chance(alpha)}."
        )
    if evidence.p_worse <= alpha:
        return "keep", (
            f"Keep version {rollout.control.version}: the loss of version {version} is larger. If "
            f"there were no difference, such a result would have a chance of "
            f"{chance(evidence.p_worse)}; the test asks for {chance(alpha)}."
        )
    if rollout.plan.planned_decisions:
        return "keep", (
            f"Keep version {rollout.control.version}: the planned look shows no difference "
            f"(p-value {min(evidence.p_better, evidence.p_worse):.3g}, limit {alpha:g})."
        )
    return "go_on", (
        "Go on: no winner yet. You may look as often as you like; "
        f"so far p = {min(evidence.p_better, evidence.p_worse, 1.0):.3g}, limit {alpha:g}."
    )


def _figures(
    rollout: Rollout, state: RolloutState, difference: DifferenceSequence, planned: ZTest | None
) -> list[Figure]:
    control = state.totals[CONTROL].mature
    challenger = state.totals[rollout.challengers[0].name].mature
    alpha = rollout.plan.alpha
    p_value = min(difference.p_value_better, difference.p_value_worse)
    found = [
        Figure(
            "loss_control",
            control.mean,
            f"The control lost {control.mean:.4f} for a decision, over {count(control.count)} "
            "decisions with mature labels.",
        ),
        Figure(
            "loss_challenger",
            challenger.mean,
            f"The challenger lost {challenger.mean:.4f} for a decision, over "
            f"{count(challenger.count)}.",
        ),
        *_lift(difference.interval(alpha), control.mean, alpha),
        Figure(
            "p_value",
            p_value,
            f"If the arms were equal, such a difference at any time would have a chance of "
            f"{chance(p_value)} (p = {p_value:.3g}); you may look as often as you like.",
        ),
        *_needed(rollout, state, control.mean),
    ]
    if planned is not None:
        found.append(
            Figure(
                "planned_look_p_value",
                planned.p_value,
                f"At the planned look, after {count(rollout.plan.planned_decisions)} decisions: "
                f"difference {planned.difference:+.4f} ({planned.low:+.4f} to "
                f"{planned.high:+.4f}), p = {planned.p_value:.3g}.",
            )
        )
    return found


def _lift(interval: Interval | None, control_mean: float, alpha: float) -> list[Figure]:
    if interval is None or control_mean <= 0.0:
        return [Figure("lift", None, "Too few losses for an interval yet.")]
    # Less loss is a lift, so the ends change places.
    lift, low, high = (
        -each / control_mean for each in (interval.difference, interval.high, interval.low)
    )
    return [
        Figure(
            "lift",
            lift,
            f"The challenger's loss is {change(-lift)} than the control's. With a confidence of "
            f"{percent(1 - alpha)}, at all looks together, it is between {change(-high)} and "
            f"{change(-low)}.",
        ),
        Figure("lift_low", low, f"Lower end of the lift: {percent(low)}."),
        Figure("lift_high", high, f"Upper end of the lift: {percent(high)}."),
    ]


def _needed(rollout: Rollout, state: RolloutState, rate: float) -> list[Figure]:
    effect = rollout.plan.effect
    if not 0.0 < rate * (1 - effect) < 1.0 or effect == 0.0:
        return []
    needed = sample_size(
        rate,
        -effect,
        alpha=rollout.plan.alpha,
        share=rollout.challengers[0].share_bp / SHARES_BP or 0.5,
    )
    return [
        Figure(
            "decisions_needed",
            float(needed),
            f"About {count(needed)} decisions with mature labels show a difference of "
            f"{percent(effect)} in one planned look (power 80 %); there are "
            f"{count(state.mature_decisions)}.",
        )
    ]
