"""The outcomes of scores are those of the policy."""

from __future__ import annotations

import numpy as np
import pytest

from models.policy import Policy
from streams.batch_scoring.stage import OUTCOMES, outcome_codes


def test_each_outcome_is_that_of_the_policy_also_at_a_threshold() -> None:
    policy = Policy(review_threshold=0.5, block_threshold=0.9)
    scores = np.array([0.0, 0.5, np.nextafter(0.5, 1), 0.9, np.nextafter(0.9, 1), 1.0])
    codes = outcome_codes(scores, review=0.5, block=0.9)
    assert [OUTCOMES[code] for code in codes] == [policy.outcome(score) for score in scores]


@pytest.mark.parametrize("score", [np.nan, -0.1, 1.1])
def test_a_score_that_is_no_probability_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="the model is faulty"):
        outcome_codes(np.array([0.5, score]), review=0.5, block=0.9)
