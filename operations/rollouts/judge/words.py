"""Numbers as a person reads them."""

from __future__ import annotations

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


def percent(share: float) -> str:
    """Give a share with up to three digits.

    Examples:
        >>> percent(0.05), percent(0.1234), percent(0.00042)
        ('5 %', '12.3 %', '0.042 %')
    """
    return f"{100 * share:.3g} %" if abs(share) < 10 else f"{100 * share:,.0f} %"


def chance(p_value: float) -> str:
    """Give a probability as one in so many.

    Examples:
        >>> chance(0.0241), chance(0.7), chance(1e-9)
        ('1 in 41', 'more than 1 in 2', 'less than 1 in 1,000,000')
    """
    if p_value < 1e-6:
        return "less than 1 in 1,000,000"
    return "more than 1 in 2" if p_value > 0.5 else f"1 in {1 / p_value:,.0f}"


def duration(ms: int) -> str:
    """Give a duration in its largest sensible unit.

    Examples:
        >>> duration(90_000), duration(5_400_000), duration(3 * _DAY_MS), duration(250)
        ('90 s', '1.5 h', '3 days', '250 ms')
    """
    if ms >= 2 * _DAY_MS:
        return f"{ms / _DAY_MS:.3g} days"
    if ms >= _HOUR_MS:
        return f"{ms / _HOUR_MS:.3g} h"
    return f"{ms / 1000:.3g} s" if ms >= 1000 else f"{ms} ms"


def count(number: int) -> str:
    """Give a number with its thousands apart."""
    return f"{number:,}"


def change(relative: float) -> str:
    """Give a relative change of a loss.

    Examples:
        >>> change(-0.301), change(0.118)
        ('30.1 % smaller', '11.8 % larger')
    """
    return f"{percent(abs(relative))} {'smaller' if relative < 0 else 'larger'}"
