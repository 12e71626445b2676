"""Simulated traffic of a rollout: users who differ, two or more models, labels after 30 days.

Each user has its own activity and its own rate of fraud, and stays in its arm, so the events of a
user resemble each other. Scores come from pools drawn once; a worse model gives a part of the fraud
the score of a good payment, a better one the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operations.rollouts.batches import DecisionBatch, MatureBatch, shares_at
from operations.rollouts.losses import FRAUD, NOT_FRAUD, losses_of
from operations.rollouts.statistics.design_effect import CLUSTERS
from operations.rollouts.statistics.running import Floats, Integers
from schemas.rollout import CONTROL, SHARES_BP, LossWeights, Rollout

DAY_MS = 86_400_000
MATURITY_DAYS = 30
FRAUD_RATE = 0.08
MISSED = 0.4
"""Share of the fraud that the control scores as a good payment."""
POOL = 1 << 16
_THRESHOLDS = (0.5, 0.9)


@dataclass(frozen=True)
class Traffic:
    """What passes.

    Attributes:
        users: how many.
        events_per_day: of all users.
        rate_shape: shape of the gamma distribution of the users' rates of fraud; small means that
            few users have most of the fraud.
        is_sticky: a user stays in its arm; else each event is drawn.
    """

    users: int = 20_000
    events_per_day: int = 600
    rate_shape: float = 2.0
    is_sticky: bool = True


@dataclass(frozen=True)
class Model:
    """How a model differs from the control.

    Attributes:
        missed: share of the fraud that it scores as a good payment.
    """

    missed: float = MISSED


class World:
    """Traffic of one rollout, day by day; equal seeds give equal traffic."""

    def __init__(self, traffic: Traffic, models: list[Model], *, seed: int) -> None:
        self.traffic = traffic
        self._models = models
        self._random = np.random.default_rng(seed)
        users = traffic.users
        rate = self._random.gamma(traffic.rate_shape, 1 / traffic.rate_shape, users)
        activity = self._random.lognormal(0.0, 1.0, users)
        self._rate = np.minimum(FRAUD_RATE * rate / np.average(rate, weights=activity), 1.0)
        self._user_of_pool = self._random.choice(users, POOL, p=activity / activity.sum())
        self._place = self._random.random(users)
        self._cluster = self._random.integers(0, CLUSTERS, users)
        self._good, self._fraud = score_pools()

    def day(self, rollout: Rollout, day: int) -> tuple[DecisionBatch, MatureBatch]:
        """One day's decisions under a state of the rollout, and what their labels will say."""
        events = self.traffic.events_per_day
        user = self._user_of_pool[self._random.integers(0, len(self._user_of_pool), events)]
        place = self._place[user] if self.traffic.is_sticky else self._random.random(events)
        arm = assigned(rollout, place)
        is_fraud = self._random.random(events) < self._rate[user]
        picked = self._random.integers(0, POOL, events)
        missed = np.array([model.missed for model in self._models])[arm]
        looks_good = ~is_fraud | (self._random.random(events) < missed)
        score = np.where(looks_good, self._good[picked], self._fraud[picked])
        outcome = np.digitize(score, _THRESHOLDS)
        loss = losses_of(
            outcome,
            np.where(is_fraud, FRAUD, NOT_FRAUD),
            np.zeros(events, dtype=bool),
            rollout.loss,
        )
        shares = np.repeat(shares_at([rollout.arms]), events, axis=1)
        decided_at_ms = rollout.started_at_ms + day * DAY_MS + np.arange(events)
        decisions = DecisionBatch(
            arm=arm,
            shares=shares,
            stage=np.full(events, rollout.stage),
            cluster=self._cluster[user],
            partition=np.zeros(events, dtype=np.int64),
            decided_at_ms=decided_at_ms,
            is_error=self._random.random(events) < 0.001,
            model_ms=np.where(self._random.random(events) < 0.002, 150.0, 4.0),
            outcome=outcome,
            score=score,
        )
        return decisions, MatureBatch(arm, shares, decisions.cluster, loss)


def assigned(rollout: Rollout, place: Floats) -> Integers:
    """The arm of each place in 0 to 1: challengers from the left, the control the rest."""
    arms = list(rollout.arms)
    control = next(index for index, arm in enumerate(arms) if arm.name == CONTROL)
    arm = np.full(len(place), control)
    begin = 0.0
    for index, each in enumerate(arms):
        if index != control:
            end = begin + each.share_bp / SHARES_BP
            arm[(place >= begin) & (place < end)] = index
            begin = end
    return arm


def score_pools() -> tuple[Floats, Floats]:
    """Scores of good payments and of fraud."""
    random = np.random.default_rng(7)
    return random.beta(1.0, 9.0, POOL), random.beta(4.0, 1.5, POOL)


def pool_losses(weights: LossWeights) -> tuple[Floats, Floats, Floats]:
    """The loss of each good payment, of each fraud, and of each fraud that looks good."""
    good, fraud = score_pools()
    never = np.zeros(POOL, dtype=bool)

    def loss(score: Floats, label: int) -> Floats:
        return losses_of(np.digitize(score, _THRESHOLDS), np.full(POOL, label), never, weights)

    return loss(good, NOT_FRAUD), loss(fraud, FRAUD), loss(good, FRAUD)


def moments(model: Model, weights: LossWeights = LossWeights()) -> tuple[float, float]:  # noqa: B008
    """Mean and variance of a model's loss."""
    good, fraud, missed = pool_losses(weights)
    parts = (
        (1 - FRAUD_RATE, good),
        (FRAUD_RATE * (1 - model.missed), fraud),
        (FRAUD_RATE * model.missed, missed),
    )
    mean = sum(share * loss.mean() for share, loss in parts)
    square = sum(share * (loss * loss).mean() for share, loss in parts)
    return float(mean), float(square - mean * mean)


def model_with(relative: float) -> Model:
    """The model whose mean loss differs by this much from the control's."""
    low, high = 0.0, 1.0
    wanted = moments(Model())[0] * (1 + relative)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if moments(Model(middle))[0] < wanted else (low, middle)
    return Model((low + high) / 2)
