"""Estimates the mean loss of a policy from the decisions of another one. Pure.

The label of a transaction tells the loss of every outcome, but a blocked one has no label. So only
where the new policy approves what was blocked, the log must have tried it: by the random
let-through, whose probability is in the decision. Those decisions stand for the others, with the
inverse of their probability as their weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from operations.rollouts.losses import OUTCOMES, losses_of
from operations.rollouts.statistics.off_policy import Estimate, doubly_robust, ips, snips
from operations.rollouts.statistics.running import Booleans, Floats, Integers
from schemas.rollout import LossWeights

LET_THROUGH_MIN: Final = 30
"""Fewest decisions that may stand for what is always blocked otherwise."""

_APPROVE, _BLOCK = OUTCOMES.index("APPROVE"), OUTCOMES.index("BLOCK")


@dataclass(frozen=True, slots=True)
class LoggedDecisions:
    """Decisions with matured labels; arrays with one item for each.

    Attributes:
        outcome: index into ``losses.OUTCOMES``, as the thresholds gave it: BLOCK for a block that
            was let through.
        is_let_through: such a block was approved.
        propensity: of what was done with a would-be block that could be let through; NaN if it
            could not, and for other outcomes.
        label: a constant of ``losses``.
    """

    outcome: Integers
    is_let_through: Booleans
    propensity: Floats
    label: Integers

    def __len__(self) -> int:
        """Number of decisions."""
        return len(self.outcome)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a policy would have lost.

    Attributes:
        logged_loss: mean loss of what was decided.
        ips: inverse propensity score.
        snips: the same, normalised by the weights.
        doubly_robust: with a model of the loss by score.
        outcomes: share of each outcome of the policy, in the order of ``losses.OUTCOMES``.
        changed: share of the decisions that the policy would make otherwise.
    """

    logged_loss: float
    ips: Estimate
    snips: Estimate
    doubly_robust: Estimate
    outcomes: tuple[float, ...]
    changed: float


@dataclass(frozen=True, slots=True)
class NoOverlap:
    """The log cannot tell.

    Attributes:
        reason: why, and what to do.
    """

    reason: str


Evaluated: TypeAlias = Evaluation | NoOverlap


def evaluate(
    log: LoggedDecisions,
    wanted: Integers,
    scores: Floats,
    weights: LossWeights,
    *,
    alpha: float = 0.05,
) -> Evaluated:
    """Estimate the mean loss of a policy.

    Args:
        log: decisions that were made.
        wanted: index into ``losses.OUTCOMES`` of the outcome that the policy gives each.
        scores: of the policy's model, 0 to 1, for the model of the loss.
        weights: what a wrong decision costs.
        alpha: the intervals miss with this probability.
    """
    if len(log) == 0:
        return NoOverlap(
            "no decision of the range has a mature label: choose an earlier range, or a shorter "
            "--label-maturity"
        )
    asks_for_approval = (log.outcome == _BLOCK) & (wanted == _APPROVE)
    untried = asks_for_approval & np.isnan(log.propensity)
    if untried.any():
        return NoOverlap(
            f"the policy approves {int(untried.sum()):,} of {len(log):,} transactions that were "
            "always blocked, so no label tells what they would have cost. A rollout with random "
            "let-through (`--let-through 1` and `--let-through-max` of `weir rollout start`) "
            "gives a few of them labels; evaluate again when those are mature"
        )
    tried = int((asks_for_approval & log.is_let_through).sum())
    if asks_for_approval.any() and tried < LET_THROUGH_MIN:
        return NoOverlap(
            f"of {int(asks_for_approval.sum()):,} blocks that the policy would approve, only "
            f"{tried} were let through, at least {LET_THROUGH_MIN} are needed: wait, or raise the "
            "share of the let-through"
        )
    losses = _losses_of_policy(log, wanted, weights)
    logged = np.where(asks_for_approval, log.propensity, 1.0)
    target = np.where(asks_for_approval & ~log.is_let_through, 0.0, 1.0)
    predicted = _predicted(losses, asks_for_approval, log.is_let_through, scores)
    return Evaluation(
        logged_loss=float(losses_of(log.outcome, log.label, log.is_let_through, weights).mean()),
        ips=ips(losses, logged, target, alpha=alpha),
        snips=snips(losses, logged, target, alpha=alpha),
        doubly_robust=doubly_robust(
            losses, logged, target, predicted=predicted, predicted_target=predicted, alpha=alpha
        ),
        outcomes=tuple(float((wanted == index).mean()) for index in range(len(OUTCOMES))),
        changed=float((wanted != log.outcome).mean()),
    )


def _losses_of_policy(log: LoggedDecisions, wanted: Integers, weights: LossWeights) -> Floats:
    """Give the loss of what the policy wants; 0 where it is not known, which has no weight."""
    is_known = (log.outcome != _BLOCK) | log.is_let_through
    losses = losses_of(wanted, log.label, is_known, weights)
    unknown = ~is_known & (wanted == _APPROVE)
    return np.where(unknown, 0.0, losses)


def _predicted(
    losses: Floats, asks_for_approval: Booleans, is_let_through: Booleans, scores: Floats
) -> Floats:
    """Give the expected loss of each decision: that of the tried ones with a similar score."""
    predicted = losses.copy()
    tried = asks_for_approval & is_let_through
    if not tried.any():
        return predicted
    enough = tried.sum() >= 4 * LET_THROUGH_MIN
    edges = np.quantile(scores[tried], (0.25, 0.5, 0.75)) if enough else np.empty(0)
    group = np.searchsorted(edges, scores)
    for each in np.unique(group[tried]):
        here = group == each
        predicted[asks_for_approval & here] = losses[tried & here].mean()
    return predicted
