"""What a decision costs, one by one and as a batch."""

import numpy as np
import pytest

from operations.rollouts.losses import FRAUD, NO_LABEL, NOT_FRAUD, OUTCOMES, loss_of, losses_of
from schemas.decision import Outcome
from schemas.rollout import LossWeights

WEIGHTS = LossWeights(missed_fraud=0.9, false_block=0.3, review=0.04, unlabelled_block=0.2)


@pytest.mark.parametrize(
    ("outcome", "is_fraud", "is_let_through", "loss"),
    [
        ("APPROVE", True, False, 0.9),
        ("APPROVE", False, False, 0.0),
        ("APPROVE", None, False, 0.0),
        ("REVIEW", True, False, 0.04),
        ("REVIEW", None, False, 0.04),
        ("BLOCK", True, False, 0.0),
        ("BLOCK", False, False, 0.3),
        ("BLOCK", None, False, 0.2),
        ("BLOCK", None, True, 0.3),
        ("BLOCK", True, True, 0.0),
    ],
)
def test_the_loss_of_a_decision(
    outcome: Outcome, is_fraud: bool | None, is_let_through: bool, loss: float
) -> None:
    assert loss_of(outcome, is_fraud, WEIGHTS, is_let_through=is_let_through) == loss


def test_a_batch_has_the_losses_of_its_decisions() -> None:
    known = {NOT_FRAUD: False, FRAUD: True, NO_LABEL: None}
    cases = [(o, label, let) for o in range(3) for label in known for let in (False, True)]
    outcome, label, let = (np.array(each) for each in zip(*cases, strict=True))
    assert losses_of(outcome, label, let, WEIGHTS).tolist() == [
        loss_of(OUTCOMES[o], known[number], WEIGHTS, is_let_through=is_let)
        for o, number, is_let in cases
    ]
