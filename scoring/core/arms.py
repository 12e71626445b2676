"""The rows of a batch by their arms: which model scores each, and what their decisions say of it.

Pure. Called by `scoring.worker` and by the ad-hoc scores of the API, so both assign alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from models.heuristic import HEURISTIC
from models.model import Model
from schemas.decision import Decision, Outcome, PolicyRef, RolloutRef
from schemas.rollout import CONTROL
from scoring.core.assignment import Assigned, LetThrough
from scoring.core.rollouts import DEGRADED_ARM_UNAVAILABLE, RolloutInUse


@dataclass(frozen=True, slots=True)
class ArmOfRows:
    """What the decisions of the rows of one arm say of it.

    Attributes:
        rollout: the rollout and its revision.
        arm: the arm.
        propensity: probability of the arm.
        model_ms: duration of the model call, ms; None in a repeat.
    """

    rollout: RolloutRef
    arm: str
    propensity: float
    model_ms: float | None = None


class ArmGroup(NamedTuple):
    """The rows of one arm in a batch."""

    of: ArmOfRows
    at: list[int]
    """Positions of the rows in the batch, rising."""
    ladder: list[tuple[Model, tuple[str, ...]]]
    """The models to try, the arm's own first, each with what ``degraded`` then says."""


def group_by_arm(
    in_use: RolloutInUse, assigned: Sequence[Assigned], *, champion: Model
) -> list[ArmGroup]:
    """Sort the rows of a batch by their arms.

    Args:
        in_use: the rollout.
        assigned: the arm of each row.
        champion: scores if neither the arm nor the control has a model.
    """
    rollout = RolloutRef(in_use.rollout.rollout_id, in_use.rollout.revision)
    places: dict[Assigned, list[int]] = {}
    for at, row in enumerate(assigned):
        places.setdefault(row, []).append(at)
    return [
        ArmGroup(
            ArmOfRows(rollout, row.arm, row.propensity),
            at,
            _ladder(in_use, row.arm, champion),
        )
        for row, at in places.items()
    ]


def _ladder(in_use: RolloutInUse, arm: str, champion: Model) -> list[tuple[Model, tuple[str, ...]]]:
    own = in_use.models.get(arm)
    others = [in_use.models.get(CONTROL), champion, HEURISTIC]
    ladder: list[tuple[Model, tuple[str, ...]]] = [] if own is None else [(own, ())]
    for model in others:
        if model is not None and all(model is not known for known, _ in ladder):
            ladder.append((model, (DEGRADED_ARM_UNAVAILABLE,)))
    return ladder


# --- let-through ----------------------------------------------------------------------------


def drawn_policy(
    let_through: LetThrough, *, outcome: Outcome, transaction_id: str, amount_minor: int
) -> tuple[Outcome, PolicyRef | None]:
    """Give the outcome after the draw, and the policy if there was one.

    Args:
        let_through: the rule.
        outcome: by the thresholds; only a BLOCK may be let through.
        transaction_id: seeds the draw.
        amount_minor: of the transaction, minor units.
    """
    if outcome != "BLOCK" or not let_through.may_draw(amount_minor):
        return outcome, None
    is_drawn, propensity = let_through.draw(transaction_id, amount_minor=amount_minor)
    return "APPROVE" if is_drawn else outcome, PolicyRef("let_through", propensity)


def policy_reasons(policy: PolicyRef | None, outcome: Outcome) -> tuple[str, ...]:
    """Give the reason of an outcome that follows from a draw, for display."""
    if policy is None or outcome != "APPROVE":
        return ()
    return (f"let through by a draw, as {policy.propensity:.2%} of such blocks are: labels tell",)


# --- what decisions say ---------------------------------------------------------------------


def in_arm(
    decision: Decision,
    of: ArmOfRows,
    *,
    outcome: Outcome,
    policy: PolicyRef | None,
    degraded: tuple[str, ...] = (),
) -> Decision:
    """Give a decision of an arm.

    Args:
        decision: by a model and the thresholds.
        of: its arm.
        outcome: after a draw.
        policy: the draw, None if there was none.
        degraded: further words.
    """
    return replace(
        decision,
        decision=outcome,
        reasons=decision.reasons + policy_reasons(policy, outcome),
        degraded=degraded + decision.degraded,
        rollout=of.rollout,
        arm=of.arm,
        propensity=of.propensity,
        policy=policy,
        model_ms=of.model_ms,
    )


def fields_of_arm(of: ArmOfRows, policy: PolicyRef | None) -> dict[str, object]:
    """Give the fields of a decision that `in_arm` sets, by name."""
    return {
        "rollout": of.rollout,
        "arm": of.arm,
        "propensity": of.propensity,
        "policy": policy,
        "model_ms": of.model_ms,
    }
