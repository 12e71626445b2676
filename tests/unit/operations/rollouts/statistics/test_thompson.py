"""Shares are the probabilities of being the best, with a floor, and add up."""

import pytest
from scipy.integrate import quad
from scipy.stats import beta

from operations.rollouts.statistics.thompson import shares_bp


def test_the_share_is_the_probability_of_being_the_best() -> None:
    first, second = beta(1 + 80, 1 + 20), beta(1 + 85, 1 + 15)
    exact = quad(lambda x: second.pdf(x) * first.cdf(x), 0, 1)[0]
    shares = shares_bp([80, 85], [100, 100], floor_bp=0, seed="a")
    assert shares[1] / 10_000 == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize("arms", [2, 3, 7])
def test_shares_add_up_and_each_arm_is_explored(arms: int) -> None:
    rewards = [100.0 * number for number in range(arms)]
    shares = shares_bp(rewards, [1_000] * arms, floor_bp=300, seed="b")
    assert sum(shares) == 10_000
    assert min(shares) >= 300
    assert max(shares) == shares[-1]


def test_equal_seeds_give_equal_shares_and_nothing_known_equal_parts() -> None:
    assert shares_bp([5, 6], [9, 9], floor_bp=500, seed="c") == shares_bp(
        [5, 6], [9, 9], floor_bp=500, seed="c"
    )
    assert shares_bp([0, 0], [0, 0], floor_bp=500, seed="d")[0] == pytest.approx(5_000, abs=150)


def test_floors_that_do_not_fit_and_impossible_rewards_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        shares_bp([1, 1], [1, 1], floor_bp=5_001, seed="e")
    with pytest.raises(ValueError, match="within 0 and the number"):
        shares_bp([2, 1], [1, 1], floor_bp=1, seed="e")
