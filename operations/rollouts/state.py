"""What is known of a rollout's arms: O(1) memory, whatever the number of decisions.

Updated by batches in the order of the log. ``to_json`` and ``restore`` keep every bit, so that a
controller that was killed goes on as if it had not been.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from operations.rollouts.batches import DecisionBatch, MatureBatch, drawn
from operations.rollouts.challenger import ChallengerState
from operations.rollouts.losses import OUTCOMES
from operations.rollouts.shadow import ShadowTotals
from operations.rollouts.statistics.fixed_tests import Moments
from operations.rollouts.statistics.running import Booleans, Floats, running_sums
from operations.rollouts.statistics.sample_ratio import SampleRatio
from schemas.rollout import Rollout


@dataclass(slots=True)
class ArmTotals:
    """Sums over the decisions of one arm.

    Attributes:
        decisions: all.
        stage_decisions: those at the present stage.
        errors: those that another model made in its place.
        outcomes: number of each outcome, in the order of ``losses.OUTCOMES``.
        score_sum: of the scores.
        mature: losses of the decisions whose labels are mature.
        planned: the same at the planned look of an A/B test, None before it.
    """

    decisions: int = 0
    stage_decisions: int = 0
    errors: int = 0
    outcomes: list[int] = field(default_factory=lambda: [0] * len(OUTCOMES))
    score_sum: float = 0.0
    mature: Moments = field(default_factory=Moments)
    planned: Moments | None = None

    def share_of(self, outcome: int) -> float:
        """Share of an outcome in the decisions; 0 without decisions."""
        return self.outcomes[outcome] / self.decisions if self.decisions else 0.0

    @property
    def mean_score(self) -> float:
        """Mean of the scores; 0 without decisions."""
        return self.score_sum / self.decisions if self.decisions else 0.0

    @classmethod
    def from_json(cls, obj: dict[str, Any]) -> ArmTotals:
        """Read what ``dataclasses.asdict`` gave."""
        planned = obj["planned"]
        moments = {
            "mature": Moments(**obj["mature"]),
            "planned": None if planned is None else Moments(**planned),
        }
        return cls(**{**obj, **moments})


class RolloutState:
    """The state of one rollout, from its start on.

    Attributes:
        totals: sums of each arm, by name.
        challengers: guards of each challenger, by name.
        sample_ratio: whether the arms get their shares.
        shadow: the challenger beside the control; None unless the rollout is a shadow.
        latest_label_ms: when the newest label of any transaction became known; the controller
            sets it. 0 before the first.
    """

    def __init__(self, rollout: Rollout) -> None:
        """Start without decisions."""
        self._names = [arm.name for arm in rollout.arms]
        self._planned_decisions = rollout.plan.planned_decisions
        self._stage = rollout.stage
        self.totals = {name: ArmTotals() for name in self._names}
        self.challengers = {arm.name: ChallengerState(rollout) for arm in rollout.challengers}
        self.sample_ratio = SampleRatio(len(self._names))
        self.shadow = ShadowTotals() if rollout.strategy == "shadow" else None
        self.latest_label_ms = 0

    @property
    def mature_decisions(self) -> int:
        """Decisions of all arms whose labels are mature."""
        return sum(each.mature.count for each in self.totals.values())

    def update(self, batch: DecisionBatch) -> None:
        """Count decisions, in the order of the log."""
        if len(batch) == 0:
            return
        self._count_stages(batch)
        for index, name in enumerate(self._names):
            _add_decisions(self.totals[name], batch, batch.arm == index)
        is_drawn = drawn(batch)
        if is_drawn.any():
            self.sample_ratio.update(
                batch.arm[is_drawn], batch.shares[:, is_drawn], batch.cluster[is_drawn]
            )
        for index, name in enumerate(self._names):
            if name in self.challengers:
                self.challengers[name].update(batch, index, is_drawn)

    def update_mature(self, batch: MatureBatch) -> None:
        """Count decisions whose labels are mature, in the order of the decisions."""
        remaining = self._planned_decisions - self.mature_decisions
        if 0 < remaining <= len(batch):
            self._add_mature(batch.part(0, remaining))
            for totals in self.totals.values():
                totals.planned = totals.mature
            batch = batch.part(remaining, len(batch))
        self._add_mature(batch)

    def _add_mature(self, batch: MatureBatch) -> None:
        if len(batch) == 0:
            return
        for index, name in enumerate(self._names):
            totals = self.totals[name]
            totals.mature = _with_losses(totals.mature, batch.loss[batch.arm == index])
        is_drawn = drawn(batch)
        for index, name in enumerate(self._names):
            if name in self.challengers:
                self.challengers[name].update_mature(batch, index, is_drawn)

    def _count_stages(self, batch: DecisionBatch) -> None:
        newest = int(batch.stage.max())
        if newest > self._stage:
            self._stage = newest
            for totals in self.totals.values():
                totals.stage_decisions = 0
        for index, name in enumerate(self._names):
            here = (batch.stage == self._stage) & (batch.arm == index)
            self.totals[name].stage_decisions += int(here.sum())

    def stage_decisions(self, name: str, stage: int) -> int:
        """Decisions of an arm at a stage: 0 if none of the stage has been seen yet."""
        return self.totals[name].stage_decisions if self._stage == stage else 0

    def to_json(self) -> dict[str, Any]:
        """Give the state as JSON has it; about 40 kB for each challenger of a canary."""
        return {
            "stage": self._stage,
            "latest_label_ms": self.latest_label_ms,
            "totals": {name: asdict(each) for name, each in self.totals.items()},
            "challengers": {name: each.to_json() for name, each in self.challengers.items()},
            "sample_ratio": self.sample_ratio.to_json(),
            "shadow": None if self.shadow is None else self.shadow.to_json(),
        }

    def restore(self, obj: dict[str, Any]) -> None:
        """Take the state that ``to_json`` gave, of the same rollout."""
        self._stage = int(obj["stage"])
        self.latest_label_ms = int(obj["latest_label_ms"])
        self.totals = {name: ArmTotals.from_json(obj["totals"][name]) for name in self._names}
        for name, challenger in self.challengers.items():
            challenger.restore(obj["challengers"][name])
        self.sample_ratio.restore(obj["sample_ratio"])
        if self.shadow is not None:
            self.shadow = ShadowTotals.from_json(obj["shadow"])


def _add_decisions(totals: ArmTotals, batch: DecisionBatch, own: Booleans) -> None:
    totals.decisions += int(own.sum())
    totals.errors += int((batch.is_error & own).sum())
    counts = np.bincount(batch.outcome[own], minlength=len(OUTCOMES))
    totals.outcomes = [old + int(new) for old, new in zip(totals.outcomes, counts, strict=True)]
    totals.score_sum = float(running_sums(totals.score_sum, batch.score[own])[-1])


def _with_losses(moments: Moments, losses: Floats) -> Moments:
    return Moments(
        moments.count + len(losses),
        float(running_sums(moments.total, losses)[-1]),
        float(running_sums(moments.squares, losses * losses)[-1]),
    )
