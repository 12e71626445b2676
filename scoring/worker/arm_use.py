"""What a rollout adds to the decisions of one arm of a batch: the arm, a draw, further words.

Knows the two forms of a decision, of a decoded row and of one that the engine has read. Called by
``decided_batch.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from features.engine.rows import ReadRows
from schemas.decision import Decision
from scoring.core.arms import ArmOfRows, drawn_policy, in_arm, policy_reasons
from scoring.core.assignment import LetThrough
from scoring.core.read_decisions import ReadDecisions
from scoring.worker.feature_log import Scorable


@dataclass(frozen=True, slots=True)
class ArmUse:
    """How the rows of one arm are decided.

    Attributes:
        of: what their decisions say of the arm.
        degraded: further words, if another model scores in place of the arm's.
        let_through: approves a few would-be blocks; None if that is off.
        clock_ms: a clock that never goes back, ms, for the duration of the model call.
    """

    of: ArmOfRows
    degraded: tuple[str, ...]
    let_through: LetThrough | None
    clock_ms: Callable[[], float]


def in_arm_of(
    use: ArmUse, of: ArmOfRows, rows: Sequence[Scorable], decided: Sequence[Decision]
) -> list[Decision]:
    """Give the decisions of an arm.

    Args:
        use: how they are decided.
        of: the arm, with the duration of the model call.
        rows: decoded.
        decided: by a model and the thresholds, for each row.
    """
    found = []
    for row, decision in zip(rows, decided, strict=True):
        outcome, policy = decision.decision, None
        if use.let_through is not None:
            outcome, policy = drawn_policy(
                use.let_through,
                outcome=outcome,
                transaction_id=decision.transaction_id,
                amount_minor=row.row.transaction.amount_minor,
            )
        found.append(in_arm(decision, of, outcome=outcome, policy=policy, degraded=use.degraded))
    return found


def draw_in_arm(
    use: ArmUse, rows: ReadRows, scorables: Sequence[Scorable], decided: ReadDecisions
) -> None:
    """Make decisions about rows that the engine has read those of an arm.

    Args:
        use: how they are decided.
        rows: what the engine has read.
        scorables: the rows.
        decided: by a model and the thresholds, for each row.
    """
    decided.add_degraded(use.degraded)
    if use.let_through is None:
        return
    for at, (row, outcome) in enumerate(zip(scorables, decided.outcomes, strict=True)):
        if outcome == "BLOCK":
            amount_minor = orjson.loads(rows.repeated(row.at))["amount_minor"]
            drawn, policy = drawn_policy(
                use.let_through,
                outcome=outcome,
                transaction_id=row.transaction_id.decode(),
                amount_minor=amount_minor,
            )
            if policy is not None:
                decided.draw(at, drawn, policy, policy_reasons(policy, drawn))
