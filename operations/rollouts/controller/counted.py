"""What the controller reads of a decision, and batches of it for the state.

Pure. Only the fields that are counted are read: every decision of the log passes here twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from operations.rollouts.batches import DecisionBatch, MatureBatch, shares_at
from operations.rollouts.losses import OUTCOMES, losses_of
from operations.rollouts.statistics.design_effect import cluster_of
from schemas.rollout import LossWeights, Rollout
from scoring.core.rollouts import DEGRADED_ARM_UNAVAILABLE

_BLOCK = OUTCOMES.index("BLOCK")
_FEATURES: Final = b',"features":{'
_VECTOR: Final = b',"vector":['


class CountedDecision(NamedTuple):
    """One decision of a rollout, without what is not counted."""

    transaction: int
    """Hash of the transaction id, from `transaction_key`."""
    cluster: int
    partition: int
    decided_at_ms: int
    revision: int
    arm: int
    """Index in the arms of the rollout."""
    is_error: bool
    model_ms: float
    outcome: int
    """Index in ``losses.OUTCOMES``, as the arm decided it: BLOCK for a block let through."""
    is_let_through: bool
    score: float


def transaction_key(transaction_id: str) -> int:
    """Give 63 bits that stand for a transaction id."""
    digest = blake2b(transaction_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


class DecisionReader:
    """Reads the decisions of one rollout.

    Attributes:
        unreadable: records that look like its decisions and are none.
    """

    def __init__(self, rollout: Rollout) -> None:
        """Read for a rollout; its arms do not change."""
        self._id = rollout.rollout_id
        # Most other records are told apart without parsing them.
        self._mark = f'"{rollout.rollout_id}"'.encode()
        self._arms = {arm.name: index for index, arm in enumerate(rollout.arms)}
        self.unreadable = 0

    def read(self, value: bytes | None, partition: int) -> CountedDecision | None:
        """Read a record; None if it is not counted.

        A repeat is not counted: its first decision was. It has no ``model_ms``.
        """
        if value is None or self._mark not in value:
            return None
        try:
            return self._counted(_parsed(value), partition)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.unreadable += 1
            return None

    def _counted(self, obj: dict[str, Any], partition: int) -> CountedDecision | None:
        rollout, model_ms = obj["rollout"], obj["model_ms"]
        if rollout is None or rollout["id"] != self._id or model_ms is None:
            return None
        policy = obj["policy"]
        outcome = OUTCOMES.index(obj["decision"])
        is_let_through = policy is not None and outcome != _BLOCK
        return CountedDecision(
            transaction=transaction_key(obj["transaction_id"]),
            cluster=cluster_of(obj["user_id"]),
            partition=partition,
            decided_at_ms=_integer(obj["decided_at_ms"]),
            revision=_integer(rollout["revision"]),
            arm=self._arms[obj["arm"]],
            is_error=DEGRADED_ARM_UNAVAILABLE in obj["degraded"],
            model_ms=float(model_ms),
            outcome=_BLOCK if is_let_through else outcome,
            is_let_through=is_let_through,
            score=float(obj["score"]),
        )


def _parsed(value: bytes) -> Any:
    """Parse a decision; mostly without its features and its vector, which are most of its bytes.

    In a JSON text only a member of an object can begin with `_FEATURES`: within a string its quotes
    are escaped. Values of features have no brace and those of a vector no bracket; what is wrong
    within them is not noticed. What cannot be parsed without them is parsed whole.
    """
    begin = value.find(_FEATURES)
    if begin < 0:
        return orjson.loads(value)
    end = value.find(b"}", begin) + 1
    if value.startswith(_VECTOR, end):
        end = value.find(b"]", end) + 1
    try:
        return orjson.loads(value[:begin] + value[end:])
    except orjson.JSONDecodeError:
        return orjson.loads(value)


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r:.40} is not an integer")
    return value


def decision_batch(
    rows: Sequence[CountedDecision], revision: Callable[[int], Rollout]
) -> DecisionBatch:
    """Give the batch of some decisions.

    Args:
        rows: in the order of the log.
        revision: gives the rollout at a revision that decided one of them.
    """
    revisions = [revision(row.revision) for row in rows]
    return DecisionBatch(
        arm=np.array([row.arm for row in rows], dtype=int),
        shares=shares_at([each.arms for each in revisions]),
        stage=np.array([each.stage for each in revisions], dtype=int),
        cluster=np.array([row.cluster for row in rows], dtype=int),
        partition=np.array([row.partition for row in rows], dtype=int),
        decided_at_ms=np.array([row.decided_at_ms for row in rows], dtype=np.int64),
        is_error=np.array([row.is_error for row in rows], dtype=bool),
        model_ms=np.array([row.model_ms for row in rows], dtype=float),
        outcome=np.array([row.outcome for row in rows], dtype=int),
        score=np.array([row.score for row in rows], dtype=float),
    )


def mature_batch(
    rows: Sequence[CountedDecision],
    labels: Sequence[int],
    weights: LossWeights,
    revision: Callable[[int], Rollout],
) -> MatureBatch:
    """Give the batch of some decisions whose labels are mature.

    Args:
        rows: the decisions.
        labels: what is known of each, as in ``losses``.
        weights: of the rollout.
        revision: as in `decision_batch`.
    """
    return MatureBatch(
        arm=np.array([row.arm for row in rows], dtype=int),
        shares=shares_at([revision(row.revision).arms for row in rows]),
        cluster=np.array([row.cluster for row in rows], dtype=int),
        loss=losses_of(
            np.array([row.outcome for row in rows], dtype=int),
            np.array(labels, dtype=int),
            np.array([row.is_let_through for row in rows], dtype=bool),
            weights,
        ),
    )
