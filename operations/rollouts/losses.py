"""The loss of a decision, 0 to 1, once its label is mature.

A blocked payment mostly never gets a label, so a block without one has a loss of its own. A block
that was let through for the label is judged as the block that the arm decided.
"""

from __future__ import annotations

import numpy as np

from operations.rollouts.statistics.running import Booleans, Floats, Integers
from schemas.decision import Outcome
from schemas.rollout import LossWeights

OUTCOMES: tuple[Outcome, ...] = ("APPROVE", "REVIEW", "BLOCK")
"""The index of an outcome in this tuple is its number in a batch."""

NOT_FRAUD, FRAUD, NO_LABEL = 0, 1, 2
"""What is known of a transaction when its label is mature."""


def loss_of(
    outcome: Outcome, is_fraud: bool | None, weights: LossWeights, *, is_let_through: bool = False
) -> float:
    """Give the loss of one decision.

    Args:
        outcome: what the arm decided; BLOCK for a block that was let through.
        is_fraud: the label, None if there is none at maturity.
        weights: of the rollout.
        is_let_through: the block was let through, so no label means no fraud.

    Examples:
        >>> loss_of("APPROVE", True, LossWeights()), loss_of("APPROVE", None, LossWeights())
        (1.0, 0.0)
    """
    if outcome == "REVIEW":
        return weights.review
    if outcome == "APPROVE":
        return weights.missed_fraud if is_fraud else 0.0
    if is_fraud is None and not is_let_through:
        return weights.unlabelled_block
    return 0.0 if is_fraud else weights.false_block


def losses_of(
    outcome: Integers, label: Integers, is_let_through: Booleans, weights: LossWeights
) -> Floats:
    """Give the losses of a batch, as ``loss_of``.

    Args:
        outcome: index into `OUTCOMES` of what each arm decided.
        label: `NOT_FRAUD`, `FRAUD` or `NO_LABEL` of each.
        is_let_through: of each.
        weights: of the rollout.
    """
    known = {NOT_FRAUD: False, FRAUD: True, NO_LABEL: None}
    table = np.array(
        [
            [
                [loss_of(name, is_fraud, weights, is_let_through=let) for let in (False, True)]
                for is_fraud in known.values()
            ]
            for name in OUTCOMES
        ]
    )
    losses: Floats = table[outcome, label, is_let_through.astype(int)]
    return losses
