"""What a rollout adds to the decisions of one arm of a batch: the arm, a draw, further words.

Knows the two forms of a decision, decoded and as the engine reads it. Called by
``decided_batch.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import orjson

from schemas.decision import Decision
from scoring.core.arms import ArmOfRows, drawn_policy, in_arm, policy_reasons
from scoring.core.assignment import LetThrough
from scoring.core.read_decisions import ReadDecision
from scoring.worker.feature_log import Scorable

Decided: TypeAlias = ReadDecision | Decision


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


def applied(
    use: ArmUse, of: ArmOfRows, scorables: Sequence[Scorable], decided: Sequence[Decided]
) -> list[Decided]:
    """Give the decisions of an arm.

    Args:
        use: how they are decided.
        of: the arm, with the duration of the model call.
        scorables: the rows.
        decided: by a model and the thresholds, for each row.
    """
    return [_applied(use, of, row, each) for row, each in zip(scorables, decided, strict=True)]


def _applied(use: ArmUse, of: ArmOfRows, row: Scorable, decided: Decided) -> Decided:
    if isinstance(decided, Decision):
        outcome, policy = decided.decision, None
        if use.let_through is not None:
            outcome, policy = drawn_policy(
                use.let_through,
                outcome=outcome,
                transaction_id=decided.transaction_id,
                amount_minor=row.row.transaction.amount_minor,
            )
        return in_arm(decided, of, outcome=outcome, policy=policy, degraded=use.degraded)
    if use.degraded:
        decided = decided._replace(degraded=use.degraded + decided.degraded)
    if use.let_through is None or decided.outcome != "BLOCK":
        return decided
    outcome, policy = drawn_policy(
        use.let_through,
        outcome=decided.outcome,
        transaction_id=decided.texts.transaction_id.decode(),
        amount_minor=cast(int, orjson.loads(decided.texts.inputs)["amount_minor"]),
    )
    reasons = [*orjson.loads(decided.reasons), *policy_reasons(policy, outcome)]
    return decided._replace(outcome=outcome, policy=policy, reasons=orjson.dumps(reasons))
