"""Tests for one planned look, and the sample that such a look needs.

Valid only if the number of decisions was fixed before the start and the result is looked at once.
The normal distribution is that of the standard library.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Moments:
    """Number, sum and sum of squares of the losses of an arm."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """Mean; 0 without events."""
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Variance of one loss."""
        return max(self.squares / self.count - self.mean**2, 0.0) if self.count else 0.0


@dataclass(frozen=True, slots=True)
class ZTest:
    """A difference, challenger less control, with the two-sided p-value and interval."""

    difference: float
    low: float
    high: float
    p_value: float


def two_proportion_test(control: Moments, challenger: Moments, *, alpha: float) -> ZTest:
    """Compare two means of losses by the z-test.

    For losses of 0 and 1 this is the two-proportion test: the p-value takes the pooled variance,
    the interval that of each arm.

    Raises:
        ValueError: an arm has no events.
    """
    if not control.count or not challenger.count:
        raise ValueError("an arm has no events: there is nothing to compare")
    both = Moments(
        control.count + challenger.count,
        control.total + challenger.total,
        control.squares + challenger.squares,
    )
    difference = challenger.mean - control.mean
    pooled = math.sqrt(both.variance * (1 / control.count + 1 / challenger.count))
    radius = -_NORMAL.inv_cdf(alpha / 2) * math.sqrt(
        control.variance / control.count + challenger.variance / challenger.count
    )
    p_value = 2 * _NORMAL.cdf(-abs(difference) / pooled) if pooled else 1.0
    return ZTest(difference, difference - radius, difference + radius, p_value)


def sample_size(
    rate: float,
    relative_effect: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    share: float = 0.5,
    is_two_sided: bool = True,
) -> int:
    """Give the decisions of both arms that one planned look needs to find an effect.

    Args:
        rate: mean of the control's loss of 0 or 1, above 0 and below 1.
        relative_effect: difference of the challenger's mean, relative to ``rate``; not 0.
        alpha: probability of a false winner.
        power: probability to find the effect.
        share: share of the challenger.
        is_two_sided: whether either arm may win.

    Raises:
        ValueError: an argument is outside its range, or no rate of the challenger has the effect.

    Examples:
        >>> sample_size(0.02, 0.2)
        42217
    """
    other = rate * (1 + relative_effect)
    if not 0 < rate < 1 or not 0 < other < 1 or relative_effect == 0:
        raise ValueError(
            f"rate {rate} and the challenger's {other:g} must differ and be within 0 and 1"
        )
    if not 0 < share < 1 or not 0 < alpha < 1 or not alpha < power < 1:
        raise ValueError(
            f"share {share} and alpha {alpha} must be within 0 and 1, power {power} within alpha "
            "and 1"
        )
    spread = rate * (1 - rate) / (1 - share) + other * (1 - other) / share
    mixed = rate * (1 - share) + other * share
    under_null = mixed * (1 - mixed) * (1 / share + 1 / (1 - share))
    quantile = -_NORMAL.inv_cdf(alpha / 2 if is_two_sided else alpha)
    distance = quantile * math.sqrt(under_null) + _NORMAL.inv_cdf(power) * math.sqrt(spread)
    return math.ceil((distance / (other - rate)) ** 2)


def power_of(
    decisions: int,
    rate: float,
    relative_effect: float,
    *,
    alpha: float = 0.05,
    share: float = 0.5,
    is_two_sided: bool = True,
) -> float:
    """Give the probability that one planned look after so many decisions finds the effect.

    Arguments as of ``sample_size``; the small probability to find the opposite is left out.
    """
    other = rate * (1 + relative_effect)
    spread = rate * (1 - rate) / (1 - share) + other * (1 - other) / share
    mixed = rate * (1 - share) + other * share
    under_null = mixed * (1 - mixed) * (1 / share + 1 / (1 - share))
    quantile = -_NORMAL.inv_cdf(alpha / 2 if is_two_sided else alpha)
    reached = abs(other - rate) * math.sqrt(decisions) - quantile * math.sqrt(under_null)
    return _NORMAL.cdf(reached / math.sqrt(spread))
