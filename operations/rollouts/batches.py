"""What the controller counts: decisions as they are made, and decisions whose labels are mature.

Plain arrays in the order of the log, one item for each event. The controller fills them from the
topics; the simulation and the tests fill them with random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from operations.rollouts.statistics.running import Booleans, Floats, Integers
from schemas.rollout import SHARES_BP, Arm


@dataclass(frozen=True, slots=True)
class DecisionBatch:
    """Decisions of a rollout.

    Attributes:
        arm: index of the arm in ``rollout.arms``.
        shares: share of each arm at the revision that decided, 0 to 1, shape (arms, events).
        stage: stage of that revision.
        cluster: ``cluster_of(user_id)``.
        partition: partition of the record.
        decided_at_ms: clock of the scorer; equal for the rows of one model call.
        is_error: the arm could not decide, and another did in its place.
        model_ms: duration of the model call, ms.
        outcome: index of the outcome in ``losses.OUTCOMES``, as the arm decided it: BLOCK for a
            block that was let through.
        score: 0 to 1.
    """

    arm: Integers
    shares: Floats
    stage: Integers
    cluster: Integers
    partition: Integers
    decided_at_ms: Integers
    is_error: Booleans
    model_ms: Floats
    outcome: Integers
    score: Floats

    def __len__(self) -> int:
        """Number of decisions."""
        return len(self.arm)

    def part(self, begin: int, end: int) -> DecisionBatch:
        """Give the decisions from ``begin`` to before ``end``."""
        return DecisionBatch(*(getattr(self, each.name)[..., begin:end] for each in fields(self)))


@dataclass(frozen=True, slots=True)
class MatureBatch:
    """Decisions of a rollout whose labels are mature, in the order of the decisions.

    Attributes:
        arm: as in ``DecisionBatch``.
        shares: as in ``DecisionBatch``.
        cluster: as in ``DecisionBatch``.
        loss: 0 to 1, from ``losses.losses_of``.
    """

    arm: Integers
    shares: Floats
    cluster: Integers
    loss: Floats

    def __len__(self) -> int:
        """Number of decisions."""
        return len(self.arm)

    def part(self, begin: int, end: int) -> MatureBatch:
        """Give the decisions from ``begin`` to before ``end``."""
        return MatureBatch(*(getattr(self, each.name)[..., begin:end] for each in fields(self)))


def drawn(batch: DecisionBatch | MatureBatch) -> Booleans:
    """Say which events had a draw: the share of their arm was neither 0 nor 1."""
    own_share = batch.shares[batch.arm, np.arange(len(batch))]
    result: Booleans = (own_share > 0.0) & (own_share < 1.0)
    return result


def shares_at(arms: Sequence[Sequence[Arm]]) -> Floats:
    """Give ``shares`` from the arms of the revision that made each decision.

    Args:
        arms: ``rollout.arms`` for each event.
    """
    shares = [[arm.share_bp / SHARES_BP for arm in each] for each in arms]
    return np.array(shares, dtype=float).reshape(len(shares), -1).T
