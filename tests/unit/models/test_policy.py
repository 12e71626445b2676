import math

import pytest

from models.policy import Policy

POLICY = Policy(review_threshold=0.5, block_threshold=0.9)
JUST = 1e-12


@pytest.mark.parametrize(
    ("score", "outcome"),
    [
        (0.0, "APPROVE"),
        (0.5 - JUST, "APPROVE"),
        (0.5, "APPROVE"),
        (0.5 + JUST, "REVIEW"),
        (0.9 - JUST, "REVIEW"),
        (0.9, "REVIEW"),
        (0.9 + JUST, "BLOCK"),
        (1.0, "BLOCK"),
    ],
)
def test_a_threshold_itself_is_not_above_it(score: float, outcome: str) -> None:
    assert POLICY.outcome(score) == outcome


@pytest.mark.parametrize("score", [-JUST, 1 + JUST, math.nan, math.inf])
def test_a_score_that_is_no_probability_is_a_bug_and_not_an_approval(score: float) -> None:
    with pytest.raises(ValueError, match="not within 0 to 1"):
        POLICY.outcome(score)


@pytest.mark.parametrize(("review", "block"), [(0.9, 0.5), (-0.1, 0.5), (0.5, 1.1)])
def test_thresholds_out_of_order_are_refused(review: float, block: float) -> None:
    with pytest.raises(ValueError, match="in order"):
        Policy(review_threshold=review, block_threshold=block)


def test_equal_thresholds_leave_no_room_for_a_review() -> None:
    policy = Policy(review_threshold=0.5, block_threshold=0.5)
    assert [policy.outcome(score) for score in (0.5, 0.5 + JUST)] == ["APPROVE", "BLOCK"]


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (0.5, "score 0.500 is not above 0.5"),
        (0.75, "score 0.750 is above 0.5"),
        (0.95, "score 0.950 is above 0.9"),
    ],
)
def test_the_explanation_names_the_threshold_that_decided(score: float, text: str) -> None:
    assert POLICY.explain(score) == text
