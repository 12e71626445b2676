"""Random events of a rollout for tests, as the controller would count them."""

from __future__ import annotations

from typing import Any

import numpy as np

from operations.rollouts.batches import DecisionBatch, MatureBatch
from operations.rollouts.statistics.design_effect import CLUSTERS
from operations.rollouts.statistics.running import Floats, Integers


def draws(events: int, *, p: float = 0.5, seed: int = 1) -> tuple[Integers, Floats, Integers]:
    """Arm (1 is the challenger), shares, and cluster of each event."""
    random = np.random.default_rng(seed)
    arm = (random.random(events) < p).astype(int)
    shares = np.repeat([[1 - p], [p]], events, axis=1)
    return arm, shares, random.integers(0, CLUSTERS, events)


def decision_batch(events: int, *, p: float = 0.5, seed: int = 1, **changes: Any) -> DecisionBatch:
    """Decisions of two equal arms, one call each; any array may be given."""
    arm, shares, cluster = draws(events, p=p, seed=seed)
    random = np.random.default_rng(seed + 1)
    arrays: dict[str, Any] = {
        "arm": arm,
        "shares": shares,
        "stage": np.zeros(events, dtype=int),
        "cluster": cluster,
        "partition": np.zeros(events, dtype=int),
        "decided_at_ms": np.arange(events),
        "is_error": np.zeros(events, dtype=bool),
        "model_ms": np.full(events, 3.0),
        "outcome": random.choice(3, events, p=[0.9, 0.06, 0.04]),
        "score": random.beta(1.0, 6.0, events),
    }
    return DecisionBatch(**{**arrays, **changes})


def mature_batch(
    events: int, *, rates: tuple[float, float] = (0.05, 0.05), p: float = 0.5, seed: int = 1
) -> MatureBatch:
    """Losses of 0 and 1 with a rate for each arm."""
    arm, shares, cluster = draws(events, p=p, seed=seed)
    random = np.random.default_rng(seed + 2)
    loss = (random.random(events) < np.array(rates)[arm]).astype(float)
    return MatureBatch(arm, shares, cluster, loss)
