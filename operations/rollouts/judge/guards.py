"""The guards of a challenger together: which hypotheses are rejected, and what that means in words.

Each guard has a part of alpha: the probability that it ever rolls back a challenger with which
nothing is wrong. e-BH decides over all hypotheses of a challenger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from operations.rollouts.challenger import ChallengerState
from operations.rollouts.judge.words import chance, count, percent
from operations.rollouts.losses import OUTCOMES
from operations.rollouts.state import ArmTotals, RolloutState
from operations.rollouts.statistics.difference_guard import DifferenceGuard
from operations.rollouts.statistics.e_bh import rejected, rejected_alone
from schemas.rollout import CONTROL, Arm, Rollout
from schemas.rollout_state import Figure

PARTS_CANARY = {"errors": 0.075, "slow": 0.075, "outcomes": 0.075, "scores": 0.075, "loss": 0.7}
"""Parts of alpha. The loss has most, because its differences are the smallest; the others show
within a few hundred decisions anyway."""
PARTS_OTHERS = {"errors": 0.5, "slow": 0.5}


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One hypothesis about a challenger: that it keeps a limit.

    Attributes:
        guard: name of its guard.
        log_e: logarithm of the e-value now.
        log_e_max: the largest so far.
        part: part of alpha.
        text: what was seen, as a sentence without its end.
    """

    guard: str
    log_e: float
    log_e_max: float
    part: float
    text: str

    @property
    def p_value(self) -> float:
        """Probability, at most, of so much evidence at any event if the limit is kept."""
        return min(math.exp(-self.log_e_max), 1.0)


def hypotheses(rollout: Rollout, state: RolloutState, arm: Arm) -> list[Hypothesis]:
    """Give the hypotheses about a challenger."""
    found = _of_calls(rollout, state.challengers[arm.name])
    if rollout.strategy == "canary":
        found += _of_differences(rollout, state, arm)
    return found


def broken(rollout: Rollout, found: list[Hypothesis]) -> list[Hypothesis]:
    """Give the hypotheses that are rejected, the strongest evidence first."""
    weights = np.array([each.part * len(found) for each in found])
    log_e = np.array([each.log_e for each in found])
    log_e_max = np.array([each.log_e_max for each in found])
    alpha = rollout.plan.alpha
    is_rejected = rejected(log_e, weights, alpha) | rejected_alone(log_e_max, weights, alpha)
    chosen = [each for each, out in zip(found, is_rejected, strict=True) if out]
    return sorted(chosen, key=lambda each: -each.log_e_max)


def reason(rollout: Rollout, arm: Arm, rejected_ones: list[Hypothesis]) -> str:
    """Say why a challenger is rolled back."""
    first = rejected_ones[0]
    limit = chance(rollout.plan.alpha * first.part)
    others = sorted({each.guard for each in rejected_ones[1:]} - {first.guard})
    also = f" Also broken: {', '.join(others)}." if others else ""
    return (
        f"Version {arm.version} broke the guard {first.guard}: {first.text}. If it kept the limit, "
        f"such evidence would have a chance of {chance(first.p_value)}; the guard acts at "
        f"{limit}.{also}"
    )


def figures(rollout: Rollout, found: Iterable[Hypothesis]) -> list[Figure]:
    """Give one figure for each guard: the p-value of its strongest evidence."""
    strongest: dict[str, Hypothesis] = {}
    for each in sorted(found, key=lambda hypothesis: hypothesis.log_e_max):
        strongest[each.guard] = each
    return [
        Figure(
            f"guard_{guard}",
            each.p_value,
            f"{guard}: {each.text}. Such evidence has a chance of {chance(each.p_value)} if the "
            f"limit is kept; the guard acts at {chance(rollout.plan.alpha * each.part)}.",
        )
        for guard, each in strongest.items()
    ]


def _of_calls(rollout: Rollout, challenger: ChallengerState) -> list[Hypothesis]:
    limits, calls = rollout.limits, challenger.calls
    parts = PARTS_CANARY if rollout.strategy == "canary" else PARTS_OTHERS
    failed, slow = (
        (number / calls if calls else 0.0)
        for number in (challenger.failed_calls, challenger.slow_calls)
    )
    return [
        Hypothesis(
            "errors",
            challenger.errors.log_e,
            challenger.errors.log_e_max,
            parts["errors"],
            f"{percent(failed)} of {count(calls)} model calls failed, limit "
            f"{percent(limits.error_share_max)}",
        ),
        Hypothesis(
            "slow",
            challenger.slow.log_e,
            challenger.slow.log_e_max,
            parts["slow"],
            f"{percent(slow)} of {count(calls)} model calls took longer than {limits.slow_ms} ms, "
            f"limit {percent(limits.slow_share_max)}",
        ),
    ]


def _of_differences(rollout: Rollout, state: RolloutState, arm: Arm) -> list[Hypothesis]:
    challenger = state.challengers[arm.name]
    control, own = state.totals[CONTROL], state.totals[arm.name]
    limits = rollout.limits

    def outcome(index: int) -> str:
        return (
            f"{OUTCOMES[index]} is {percent(own.share_of(index))} of its decisions, "
            f"{percent(control.share_of(index))} of the control's, limit a difference of "
            f"{percent(limits.outcome_change_max)}"
        )

    def score(index: int) -> str:
        what = (
            "the mean score"
            if index == 0
            else f"the share of scores of {limits.score_cutoffs[index - 1]:g} or more"
        )
        return (
            f"{what}, beside the control's (the mean scores are {own.mean_score:.4f} and "
            f"{control.mean_score:.4f}), limit a difference of {limits.score_change_max:g}"
        )

    def loss(_: int) -> str:
        return _loss_text(control, own, limits.loss_increase_max)

    return [
        *_of_guard("outcomes", challenger.outcomes, outcome),
        *_of_guard("scores", challenger.scores, score),
        *_of_guard("loss", challenger.loss, loss),
    ]


def _loss_text(control: ArmTotals, own: ArmTotals, limit: float) -> str:
    return (
        f"the mean loss of {count(own.mature.count)} decisions with mature labels is "
        f"{own.mature.mean:.4f}, the control's {control.mature.mean:.4f}, limit an increase of "
        f"{limit:g}"
    )


def _of_guard(
    name: str, guard: DifferenceGuard | None, text: Callable[[int], str]
) -> list[Hypothesis]:
    if guard is None:
        return []
    log_e, log_e_max = guard.log_e, guard.log_e_max
    part = PARTS_CANARY[name] / len(log_e)
    # A two-sided guard has all increases, then all decreases.
    losses = len(log_e) if name == "loss" else len(log_e) // 2
    return [
        Hypothesis(name, float(now), float(most), part, text(index % losses))
        for index, (now, most) in enumerate(zip(log_e, log_e_max, strict=True))
    ]
