"""Fixed tests agree with scipy, and the sample has the power that it promises."""

import math

import numpy as np
import pytest
from scipy.stats import chi2_contingency, norm

from operations.rollouts.statistics.fixed_tests import (
    Moments,
    power_of,
    sample_size,
    two_proportion_test,
)


@pytest.mark.parametrize(("bad_0", "bad_1"), [(100, 130), (130, 100), (5, 5)])
def test_for_losses_of_0_and_1_the_p_value_is_that_of_the_chi_square_test(
    bad_0: int, bad_1: int
) -> None:
    found = two_proportion_test(
        Moments(2_000, bad_0, bad_0), Moments(3_000, bad_1, bad_1), alpha=0.05
    )
    table = [[bad_0, 2_000 - bad_0], [bad_1, 3_000 - bad_1]]
    assert found.p_value == pytest.approx(chi2_contingency(table, correction=False).pvalue)
    p_0, p_1 = bad_0 / 2_000, bad_1 / 3_000
    error = math.sqrt(p_0 * (1 - p_0) / 2_000 + p_1 * (1 - p_1) / 3_000)
    low, high = norm.interval(0.95, loc=p_1 - p_0, scale=error)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_without_losses_there_is_no_difference_and_without_events_no_test() -> None:
    assert two_proportion_test(Moments(9, 0, 0), Moments(9, 0, 0), alpha=0.05).p_value == 1.0
    with pytest.raises(ValueError, match="no events"):
        two_proportion_test(Moments(), Moments(9, 0, 0), alpha=0.05)


@pytest.mark.parametrize("effect", [0.3, -0.3])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_sample_has_its_power_by_simulation(effect: float, share: float) -> None:
    rate, random = 0.1, np.random.default_rng(1)
    size = sample_size(rate, effect, share=share)
    assert power_of(size, rate, effect, share=share) == pytest.approx(0.8, abs=1e-3)
    own = round(size * share)
    found = sum(
        two_proportion_test(
            Moments(size - own, bad_0, bad_0), Moments(own, bad_1, bad_1), alpha=0.05
        ).p_value
        <= 0.05
        for bad_0, bad_1 in zip(
            random.binomial(size - own, rate, 2_000),
            random.binomial(own, rate * (1 + effect), 2_000),
            strict=True,
        )
    )
    assert 0.77 < found / 2_000 < 0.84


@pytest.mark.parametrize(
    "arguments",
    [(0.0, 0.2), (0.5, 1.5), (0.5, 0.0), (1.0, -0.2)],
)
def test_a_rate_that_cannot_be_is_refused(arguments: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must differ and be within 0 and 1"):
        sample_size(*arguments)


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"alpha": 1.0}, {"power": 0.01}])
def test_a_probability_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be within"):
        sample_size(0.1, 0.2, **wrong)
