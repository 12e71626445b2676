"""What a policy would have lost that never decided, from decisions of another one.

Each logged decision names the probability with which it was taken. Weighting it by the ratio of the
probabilities under the new policy and under the logged one makes the log stand for the new policy.
Needed: wherever the new policy may decide something, the logged one did so with a probability above
0. Intervals are those of the central limit theorem, for one look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from operations.rollouts.statistics.running import Floats

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated mean loss with its interval.

    Attributes:
        value: mean loss of the policy.
        low: lower end of the interval.
        high: upper end.
        events: logged decisions.
        effective_events: number of equally weighted decisions that would tell as much; far below
            ``events`` if few decisions carry the estimate (Kish).
        largest_weight: of one decision; 1 if the policies agree.
    """

    value: float
    low: float
    high: float
    events: int
    effective_events: float
    largest_weight: float


def ips(losses: Floats, logged: Floats, target: Floats, *, alpha: float = 0.05) -> Estimate:
    """Inverse propensity score: unbiased, wide if weights are large.

    Args:
        losses: of the logged decisions.
        logged: probability with which each was taken, above 0, at most 1.
        target: probability with which the new policy takes it.
        alpha: the interval misses with this probability.

    Raises:
        ValueError: there are no decisions, lengths differ, or a probability is out of range.
    """
    weights = _weights(losses, logged, target)
    return _estimate(weights * losses, weights, alpha)


def snips(losses: Floats, logged: Floats, target: Floats, *, alpha: float = 0.05) -> Estimate:
    """Self-normalised: divides by the mean weight; slightly biased, mostly narrower than `ips`.

    Arguments as of ``ips``. The interval is that of the delta method.

    Raises:
        ValueError: as ``ips``, or the new policy takes none of the decisions.
    """
    weights = _weights(losses, logged, target)
    if not weights.any():
        raise ValueError("the new policy takes none of the logged decisions")
    value = float(np.sum(weights * losses) / np.sum(weights))
    influence = weights * (losses - value) / weights.mean()
    return _estimate(value + influence, weights, alpha)


def doubly_robust(
    losses: Floats,
    logged: Floats,
    target: Floats,
    *,
    predicted: Floats,
    predicted_target: Floats,
    alpha: float = 0.05,
) -> Estimate:
    """A model of the loss, corrected by the weighted errors that it makes on the log.

    Unbiased if the propensities or the model are right; narrow if the model is good. Source:
    Dudik, Langford and Li, "Doubly robust policy evaluation and learning", ICML 2011.

    Args:
        losses: as of ``ips``.
        logged: as of ``ips``.
        target: as of ``ips``.
        predicted: the model's loss of each logged decision.
        predicted_target: the model's loss of what the new policy decides there, in the mean over
            its choices.
        alpha: as of ``ips``.

    Raises:
        ValueError: as ``ips``.
    """
    weights = _weights(losses, logged, target)
    if not len(losses) == len(predicted) == len(predicted_target):
        raise ValueError(
            f"{len(losses)} losses, {len(predicted)} and {len(predicted_target)} predictions: "
            "give one for each decision"
        )
    return _estimate(predicted_target + weights * (losses - predicted), weights, alpha)


def _weights(losses: Floats, logged: Floats, target: Floats) -> Floats:
    if not len(losses) == len(logged) == len(target):
        raise ValueError(
            f"{len(losses)} losses, {len(logged)} logged and {len(target)} new probabilities: give "
            "one for each decision"
        )
    if len(losses) == 0:
        raise ValueError("no logged decisions: there is nothing to estimate from")
    if not ((logged > 0.0) & (logged <= 1.0)).all():
        raise ValueError("a logged probability is not above 0 and at most 1; leave such rows out")
    if not ((target >= 0.0) & (target <= 1.0)).all():
        raise ValueError("a new probability is not within 0 and 1")
    return target / logged


def _estimate(terms: Floats, weights: Floats, alpha: float) -> Estimate:
    count = len(terms)
    value = float(terms.mean())
    deviation = float(terms.std(ddof=1)) if count > 1 else math.inf
    radius = -_NORMAL.inv_cdf(alpha / 2) * deviation / math.sqrt(count)
    squares = float(np.sum(weights * weights))
    return Estimate(
        value=value,
        low=value - radius,
        high=value + radius,
        events=count,
        effective_events=float(np.sum(weights)) ** 2 / squares if squares else 0.0,
        largest_weight=float(weights.max()),
    )
