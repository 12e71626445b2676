"""An interval for the difference of two arms that holds at every event at once.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform
central limit theory and asymptotic confidence sequences", Annals of Statistics 2024. It is taken of
the sum of `terms` in place of a mean, so that the shares may change, and with the variance between
clusters of users in place of that between events. The p-value is the alpha at which the interval
just excludes 0, the smallest after any event so far.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from operations.rollouts.statistics.design_effect import CLUSTERS
from operations.rollouts.statistics.running import (
    Booleans,
    Floats,
    Integers,
    running_sums,
    sums_within_clusters,
)
from operations.rollouts.statistics.terms import ComparedLosses

LARGEST_TERMS_MIN = 25.0
"""The interval starts when the variance is that of so many of the largest term: before that a sum
of rare losses is not close to normal."""


class Interval(NamedTuple):
    """A difference of the mean losses, challenger less control, and its interval."""

    difference: float
    low: float
    high: float


def tuned_rho(variance: float, alpha: float) -> float:
    """Give the rho for which the interval is narrowest when the sum has this variance.

    Source: Waudby-Smith et al. 2024, appendix B.2, in units of the variance of the sum.
    """
    twice_log = -2.0 * math.log(alpha)
    return math.sqrt((twice_log + math.log(twice_log) + 1.0) / variance)


class DifferenceSequence:
    """Confidence sequence for the mean loss of the challenger less that of the control."""

    def __init__(self, *, alpha: float, effect: float) -> None:
        """Choose the sample for which the interval is narrowest.

        Args:
            alpha: probability that the interval ever misses, over all events.
            effect: relative difference of the mean loss that is to be found.
        """
        # A sum of rare losses of about 1 has this variance when it shows the effect.
        self._rho_square = tuned_rho(12.0 / max(effect, 1e-3) ** 2, alpha) ** 2
        self._compared = ComparedLosses(1)
        self._events = 0
        self._sum = 0.0
        self._weight = 0.0
        self._squares = 0.0
        self._cluster_squares = 0.0
        self._by_cluster = np.zeros(CLUSTERS)
        self._largest = 0.0
        self._log_e_max = [0.0, 0.0]

    def update(
        self, losses: Floats, is_challenger: Booleans, p: Floats, clusters: Integers
    ) -> None:
        """Add events in the order of the log.

        Args:
            losses: 0 to 1.
            is_challenger: arm of each event.
            p: propensity of the challenger at each event, above 0 and below 1.
            clusters: cluster of each event's user.
        """
        if len(losses) == 0:
            return
        terms = self._compared.update(losses[np.newaxis, :], is_challenger, p)
        z = terms.z[0]
        before, self._by_cluster = sums_within_clusters(self._by_cluster, clusters, z)
        sums = running_sums(self._sum, z)[1:]
        squares = running_sums(self._squares, z * z)[1:]
        cluster_squares = running_sums(self._cluster_squares, (2.0 * before + z) * z)[1:]
        largest = np.maximum.accumulate(np.maximum(np.abs(z), self._largest))
        variance = _variance(sums, squares, cluster_squares)
        log_e = self._log_e(sums, variance)
        log_e[variance < LARGEST_TERMS_MIN * largest * largest] = 0.0
        self._log_e_max = [
            max(old, float(np.max(log_e, where=np.sign(sums) == sign, initial=0.0)))
            for old, sign in zip(self._log_e_max, (-1.0, 1.0), strict=True)
        ]
        self._events += len(losses)
        self._sum, self._squares = float(sums[-1]), float(squares[-1])
        self._cluster_squares = float(cluster_squares[-1])
        self._largest = float(largest[-1])
        self._weight = float(running_sums(self._weight, terms.weight)[-1])

    def _log_e(self, sums: Floats, variance: Floats) -> Floats:
        spread = variance * self._rho_square + 1.0
        return sums * sums * self._rho_square / (2.0 * spread) - 0.5 * np.log(spread)

    @property
    def design_effect(self) -> float:
        """Variance of the sum divided by what it were if every event's arm was drawn by itself."""
        return self._current_variance() / self._squares if self._squares > 0.0 else 1.0

    def interval(self, alpha: float) -> Interval | None:
        """Give difference and interval now; None while there are too few losses."""
        variance = self._current_variance()
        if self._weight == 0.0 or variance < LARGEST_TERMS_MIN * self._largest**2:
            return None
        if variance == 0.0:
            return None
        spread = variance * self._rho_square + 1.0
        radius = math.sqrt(spread / self._rho_square * math.log(spread / alpha**2))
        middle = self._sum / self._weight
        return Interval(middle, middle - radius / self._weight, middle + radius / self._weight)

    @property
    def p_value_better(self) -> float:
        """Anytime p-value of the evidence for the challenger; counts both directions."""
        return math.exp(-self._log_e_max[0])

    @property
    def p_value_worse(self) -> float:
        """Anytime p-value of the evidence against the challenger; counts both directions."""
        return math.exp(-self._log_e_max[1])

    def _current_variance(self) -> float:
        return float(
            _variance(np.array(self._sum), np.array(self._squares), np.array(self._cluster_squares))
        )

    def to_json(self) -> dict[str, Any]:
        """Give the state as JSON has it."""
        return {
            "compared": self._compared.to_json(),
            "events": self._events,
            "sum": self._sum,
            "weight": self._weight,
            "squares": self._squares,
            "cluster_squares": self._cluster_squares,
            "by_cluster": self._by_cluster.tolist(),
            "largest": self._largest,
            "log_e_max": list(self._log_e_max),
        }

    def restore(self, obj: dict[str, Any]) -> None:
        """Take the state that ``to_json`` gave."""
        self._compared.restore(obj["compared"])
        self._events = int(obj["events"])
        self._sum, self._weight = float(obj["sum"]), float(obj["weight"])
        self._squares = float(obj["squares"])
        self._cluster_squares = float(obj["cluster_squares"])
        self._by_cluster = np.array(obj["by_cluster"], dtype=float)
        self._largest = float(obj["largest"])
        self._log_e_max = [float(each) for each in obj["log_e_max"]]


def _variance(sums: Floats, squares: Floats, cluster_squares: Floats) -> Floats:
    """Give the variance of the sum: between events, or between clusters if that is larger."""
    between = (cluster_squares - sums * sums / CLUSTERS) * (CLUSTERS / (CLUSTERS - 1))
    return np.maximum(squares, between)
