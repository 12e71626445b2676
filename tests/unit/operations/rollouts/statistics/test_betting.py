"""Wealth grows as it should, its maximum is that after any event, and it is an e-value."""

import math

import numpy as np
import pytest

from operations.rollouts.statistics.betting import BetMixture, _sum_of_powers
from operations.rollouts.statistics.mean_guard import MeanGuard


def test_wealth_is_the_product_of_the_gains_and_its_maximum_is_not_missed() -> None:
    gains = np.array([[0.5, 0.5, -0.9, -0.9]])
    mixture = BetMixture(1, (0.5, 0.5), reserve=0.0, period=100)
    mixture.update(gains, np.array([[[0.1], [0.8]]]))
    paths = [0.5 * np.cumprod(1 + bet * gains[0]) for bet in (0.1, 0.8)]
    total = paths[0] + paths[1]
    assert mixture.log_e[0] == pytest.approx(math.log(total[-1]))
    assert mixture.log_e_max[0] == pytest.approx(math.log(total.max()))
    assert total.max() > total[-1]


def test_the_maximum_is_that_of_the_sum_not_the_sum_of_the_maxima() -> None:
    # One bet peaks first, the other last.
    mixture = BetMixture(1, (0.5, 0.5), reserve=0.0, period=100)
    bets = np.array([[[1.0, 0.0], [0.0, 0.9]]])
    gains = np.array([[0.7, -0.5]])
    mixture.update(gains, bets)
    assert mixture.log_e_max[0] == pytest.approx(math.log((1.7 + 1.0) / 2))


def test_stakes_of_the_reserve_begin_anew_and_the_whole_is_the_sum_of_all_gamblers() -> None:
    gains = np.random.default_rng(1).choice([-0.5, 0.7], 35)
    mixture = BetMixture(1, (0.5, 0.5), reserve=0.4, period=10)
    gamblers = [[part * 0.6, bet] for part, bet in ((0.5, 0.2), (0.5, 0.9))]
    rest, most = 0.4, 1.0
    for index, gain in enumerate(gains, start=1):
        for gambler in gamblers:
            gambler[0] *= 1 + gambler[1] * gain
        total = rest + sum(wealth for wealth, _ in gamblers)
        most = max(most, total)
        if index % 10 == 0:
            stake = 0.4 / (index // 10) / (index // 10 + 1)
            rest -= stake
            gamblers += [[0.5 * stake, bet] for bet in (0.2, 0.9)]
    for begin, end in ((0, 7), (7, 10), (10, 35)):
        mixture.update(gains[np.newaxis, begin:end], np.array([[[0.2], [0.9]]]))
    assert mixture.log_e[0] == pytest.approx(math.log(total))
    assert mixture.log_e_max[0] == pytest.approx(math.log(most))


@pytest.mark.parametrize("calm", [100_000, 2_000_000])
def test_a_challenger_that_fails_after_long_is_found_within_some_hundred_calls(calm: int) -> None:
    random = np.random.default_rng(2)
    guard = MeanGuard(0.01)
    guard.update((random.random(calm) < 0.001).astype(float))
    assert guard.log_e_max < math.log(20)
    guard.update((random.random(400) < 0.3).astype(float))
    assert guard.log_e_max > math.log(267)


@pytest.mark.parametrize("power", [1.0, 0.5, 0.9, 0.2])
def test_the_sum_of_powers_is_the_sum_or_a_little_more(power: float) -> None:
    for stakes in (0, 1, 900, 30_000):
        number = np.arange(1.0, stakes + 1)
        exact = float(np.sum((number * (number + 1)) ** -power))
        assert exact <= _sum_of_powers(stakes, power) * (1 + 1e-12)
        assert _sum_of_powers(stakes, power) <= 1.002 * exact


def test_without_a_design_effect_nothing_is_taken_off() -> None:
    mixture = BetMixture(2, (0.5, 0.5), reserve=0.3, period=10)
    mixture.update(np.full((2, 45), -0.1), np.array([[[0.2], [0.9]]]))
    log_e = mixture.log_e
    assert mixture.tempered(log_e, np.ones(2)) == pytest.approx(log_e)
    assert (mixture.tempered(log_e + 5, np.full(2, 4.0)) < (log_e + 5) / 4).all()


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
