"""Tests whether the mean of a loss in [0, 1] is above a limit, at every event.

For the guards of the challenger alone: errors, and slow model calls. Non-asymptotic: the
probability that the e-value ever reaches 1/alpha is at most alpha if at every event the mean, given
what was before, is at most the limit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operations.rollouts.statistics.betting import BET_SHARE_MAX, BetMixture
from operations.rollouts.statistics.running import Floats

_TIMES = (2.0, 5.0, 20.0)
"""Means, in multiples of the limit, for which the bets are best."""
_LIMIT_MIN = 1e-4
_PERIOD = 500


class MeanGuard:
    """One hypothesis: the mean of the losses is at most ``limit``."""

    def __init__(self, limit: float) -> None:
        """Choose the bets for a limit in [0, 1]."""
        self._limit = limit
        base = max(limit, _LIMIT_MIN)
        # For losses of 0 and 1 this bet grows fastest if the mean is `times * limit`.
        best = (np.array(_TIMES) - 1.0) * base / (base * (1.0 - min(base, 0.5)))
        largest = BET_SHARE_MAX / base
        self._bets = np.minimum(best, largest)[np.newaxis, :, np.newaxis]
        self._mixture = BetMixture(1, (1 / 3, 1 / 3, 1 / 3), reserve=0.5, period=_PERIOD)

    def update(self, losses: Floats) -> None:
        """Add losses of 0 to 1, in the order of the log."""
        self._mixture.update((losses - self._limit)[np.newaxis, :], self._bets)

    @property
    def log_e(self) -> float:
        """Logarithm of the e-value now."""
        return float(self._mixture.log_e[0])

    @property
    def log_e_max(self) -> float:
        """Largest logarithm of the e-value after any event so far."""
        return float(self._mixture.log_e_max[0])

    def to_json(self) -> dict[str, Any]:
        """Give the state as JSON has it."""
        return self._mixture.to_json()

    def restore(self, obj: dict[str, Any]) -> None:
        """Take the state that ``to_json`` gave."""
        self._mixture.restore(obj)
