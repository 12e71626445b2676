"""The guards of one challenger, fed from the batches of its rollout.

Errors and slow calls are counted by model call, not by decision: the rows of one call fail together
and are slow together, so they are one observation. The rows of a call have one ``decided_at_ms``;
in each partition the first row after a later time than any before stands for its call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operations.rollouts.batches import DecisionBatch, MatureBatch
from operations.rollouts.losses import OUTCOMES
from operations.rollouts.statistics.confidence_sequence import DifferenceSequence
from operations.rollouts.statistics.design_effect import FEW_CLUSTERS
from operations.rollouts.statistics.difference_guard import DifferenceGuard
from operations.rollouts.statistics.mean_guard import MeanGuard
from operations.rollouts.statistics.running import Booleans, Integers
from schemas.rollout import Rollout


class ChallengerState:
    """What is known of one challenger.

    Attributes:
        calls: model calls, as far as they can be told apart.
        failed_calls: calls that failed.
        slow_calls: calls longer than the limit.
        errors: guard of the failed calls.
        slow: guard of the slow calls.
        outcomes: guard of the share of each outcome; None unless the rollout is a canary.
        scores: guard of the mean score and of the shares above each cut-off; as ``outcomes``.
        loss: guard of the loss of mature labels; as ``outcomes``.
        difference: interval of the loss; None for strategies that do not compare two arms.
    """

    def __init__(self, rollout: Rollout) -> None:
        """Start without decisions."""
        limits, plan = rollout.limits, rollout.plan
        self._slow_ms = limits.slow_ms
        self._cutoffs = np.array(limits.score_cutoffs)
        self._latest_ms: dict[str, int] = {}
        self.calls = self.failed_calls = self.slow_calls = 0
        self.errors = MeanGuard(limits.error_share_max)
        self.slow = MeanGuard(limits.slow_share_max)
        self.outcomes: DifferenceGuard | None = None
        self.scores: DifferenceGuard | None = None
        self.loss: DifferenceGuard | None = None
        self.difference: DifferenceSequence | None = None
        if rollout.strategy == "canary":
            self.outcomes = _change_guard(len(OUTCOMES), limits.outcome_change_max)
            self.scores = _change_guard(1 + len(self._cutoffs), limits.score_change_max)
            self.loss = _loss_guard(limits.loss_increase_max, plan.effect)
        if rollout.strategy in ("canary", "ab"):
            self.difference = DifferenceSequence(alpha=plan.alpha, effect=plan.effect)

    def update(self, batch: DecisionBatch, index: int, drawn: Booleans) -> None:
        """Count decisions.

        Args:
            batch: of all arms.
            index: of this arm.
            drawn: the decisions whose arm was a draw; the others compare nothing.
        """
        is_own = batch.arm == index
        first = self._first_of_calls(batch, np.flatnonzero(is_own))
        failed = batch.is_error[first].astype(float)
        slow = (batch.model_ms[first] > self._slow_ms).astype(float)
        self.calls += len(first)
        self.failed_calls += int(failed.sum())
        self.slow_calls += int(slow.sum())
        self.errors.update(failed)
        self.slow.update(slow)
        if self.outcomes is None or self.scores is None or not drawn.any():
            return
        drawn_at = np.flatnonzero(drawn)
        own, p, clusters = is_own[drawn_at], batch.shares[index, drawn_at], batch.cluster[drawn_at]
        numbers = np.arange(len(OUTCOMES))[:, np.newaxis]
        mix = (batch.outcome[drawn_at] == numbers).astype(float)
        self.outcomes.update(mix, own, p, clusters)
        score = batch.score[drawn_at]
        above = (score >= self._cutoffs[:, np.newaxis]).astype(float)
        self.scores.update(np.concatenate([score[np.newaxis, :], above]), own, p, clusters)

    def update_mature(self, batch: MatureBatch, index: int, drawn: Booleans) -> None:
        """Count decisions whose labels are mature; arguments as of ``update``."""
        own, p = batch.arm[drawn] == index, batch.shares[index, drawn]
        loss, clusters = batch.loss[drawn], batch.cluster[drawn]
        if self.loss is not None:
            self.loss.update(loss[np.newaxis, :], own, p, clusters)
        if self.difference is not None:
            self.difference.update(loss, own, p, clusters)

    def _first_of_calls(self, batch: DecisionBatch, own: Integers) -> Integers:
        """Give the index of the first row of each call, in the order of the log."""
        partitions = batch.partition[own]
        firsts = []
        for partition in np.unique(partitions):
            rows = own[partitions == partition]
            times = batch.decided_at_ms[rows]
            key = str(partition)
            latest = np.maximum.accumulate(np.append(self._latest_ms.get(key, -1), times))
            self._latest_ms[key] = int(latest[-1])
            firsts.append(rows[times > latest[:-1]])
        found: Integers = np.sort(np.concatenate(firsts)) if firsts else own
        return found

    def to_json(self) -> dict[str, Any]:
        """Give the state as JSON has it."""
        return {
            "latest_ms": dict(self._latest_ms),
            "calls": [self.calls, self.failed_calls, self.slow_calls],
            **{name: each.to_json() for name, each in self._parts().items()},
        }

    def restore(self, obj: dict[str, Any]) -> None:
        """Take the state that ``to_json`` gave."""
        self._latest_ms = {key: int(value) for key, value in obj["latest_ms"].items()}
        self.calls, self.failed_calls, self.slow_calls = (int(each) for each in obj["calls"])
        for name, each in self._parts().items():
            each.restore(obj[name])

    def _parts(self) -> dict[str, MeanGuard | DifferenceGuard | DifferenceSequence]:
        parts = {
            "errors": self.errors,
            "slow": self.slow,
            "outcomes": self.outcomes,
            "scores": self.scores,
            "loss": self.loss,
            "difference": self.difference,
        }
        return {name: each for name, each in parts.items() if each is not None}


def _change_guard(losses: int, tolerance: float) -> DifferenceGuard:
    least = max(tolerance, 0.005)
    return DifferenceGuard(
        losses,
        tolerance=tolerance,
        bets=((least, 0.5), (4 * least, 0.5)),
        is_two_sided=True,
        clusters=FEW_CLUSTERS,
    )


def _loss_guard(tolerance: float, effect: float) -> DifferenceGuard:
    # Most wealth is near the effect; the rest is for much smaller and much larger ones.
    bets = ((effect / 4, 0.1), (0.75 * effect, 0.4), (1.25 * effect, 0.4), (4 * effect, 0.1))
    return DifferenceGuard(1, tolerance=tolerance, bets=bets, reserve=0.03, is_relative=True)
