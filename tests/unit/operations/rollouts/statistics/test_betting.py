"""Wealth grows as it should, its maximum is that after any event, and it is an e-value."""

import math

import numpy as np
import pytest

from operations.rollouts.statistics.betting import BetMixture
from operations.rollouts.statistics.mean_guard import MeanGuard


def test_wealth_is_the_product_of_the_gains_and_its_maximum_is_not_missed() -> None:
    gains = np.array([[0.5, 0.5, -0.9, -0.9]])
    mixture = BetMixture(1, (0.5, 0.5))
    mixture.update(gains, np.array([[[0.1], [0.8]]]))
    paths = [0.5 * np.cumprod(1 + bet * gains[0]) for bet in (0.1, 0.8)]
    total = paths[0] + paths[1]
    assert mixture.log_e[0] == pytest.approx(math.log(total[-1]))
    assert mixture.log_e_max[0] == pytest.approx(math.log(total.max()))
    assert total.max() > total[-1]


def test_the_maximum_is_that_of_the_sum_not_the_sum_of_the_maxima() -> None:
    # One bet peaks first, the other last.
    mixture = BetMixture(1, (0.5, 0.5))
    bets = np.array([[[1.0, 0.0], [0.0, 0.9]]])
    gains = np.array([[0.7, -0.5]])
    mixture.update(gains, bets)
    assert mixture.log_e_max[0] == pytest.approx(math.log((1.7 + 1.0) / 2))


def test_a_limit_that_is_kept_is_seldom_rejected_and_a_broken_one_soon() -> None:
    random = np.random.default_rng(3)
    rejected = 0
    for _ in range(400):
        guard = MeanGuard(0.05)
        guard.update((random.random(2_000) < 0.05).astype(float))
        rejected += guard.log_e_max >= math.log(20)
    assert rejected <= 20  # 5 % of 400
    guard = MeanGuard(0.01)
    guard.update((random.random(500) < 0.05).astype(float))
    assert guard.log_e_max > math.log(160)


@pytest.mark.parametrize("limit", [0.0, 0.01, 0.5, 1.0])
def test_no_loss_makes_the_wealth_negative(limit: float) -> None:
    guard = MeanGuard(limit)
    guard.update(np.array([0.0, 1.0] * 50))
    assert math.isfinite(guard.log_e)


def test_the_state_comes_back_with_every_bit() -> None:
    guard, other = MeanGuard(0.1), MeanGuard(0.1)
    guard.update(np.array([0.0, 1.0, 0.3, 0.0]))
    other.restore(guard.to_json())
    assert (other.log_e, other.log_e_max) == (guard.log_e, guard.log_e_max)
    assert guard.log_e_max != guard.log_e
