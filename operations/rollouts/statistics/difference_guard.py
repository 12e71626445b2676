"""Tests whether losses in [0, 1] differ between two arms by more than a tolerance, at every event.

For the guards that compare: outcomes, scores, and the loss of mature labels. If every event's arm
is drawn by itself, the test is non-asymptotic: the probability that the e-value ever reaches
1/alpha is at most alpha. If the arm is drawn for the user, the logarithm of the e-value is divided
by the design effect: for sums that are close to normal this is the e-value of the bet that is that
much smaller, of a sum whose variance is that much larger.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operations.rollouts.statistics.betting import BET_SHARE_MAX, BetMixture
from operations.rollouts.statistics.design_effect import CLUSTERS, DesignEffect
from operations.rollouts.statistics.running import Booleans, Floats, Integers
from operations.rollouts.statistics.terms import ComparedLosses, Terms

_PERIOD = 4_096

Bets = tuple[tuple[float, float], ...]
"""Of each bet: the excess for which it is best, and its part of the first wealth."""


class DifferenceGuard:
    """Hypotheses: of each loss, the difference of its means is at most the tolerance."""

    def __init__(
        self,
        losses: int,
        *,
        tolerance: float,
        bets: Bets,
        reserve: float = 0.5,
        is_relative: bool = False,
        is_two_sided: bool = False,
        clusters: int = CLUSTERS,
    ) -> None:
        """Choose the bets.

        Args:
            losses: how many losses each event has.
            tolerance: difference of the means, challenger less control, that is accepted.
            bets: differences above the tolerance that are looked for most.
            reserve: share of the wealth for what begins later (`betting`).
            is_relative: the excesses of ``bets`` are relative to the mean loss.
            is_two_sided: a smaller mean of the challenger counts as well; the hypotheses are then
                all increases, then all decreases.
            clusters: clusters of the design effect; more know it better and take more memory.
        """
        self._tolerance = tolerance
        self._is_relative = is_relative
        self._signs = (1.0, -1.0) if is_two_sided else (1.0,)
        self._excesses = np.array([excess for excess, _ in bets])
        self._compared = ComparedLosses(losses)
        self._mixture = BetMixture(
            losses * len(self._signs),
            tuple(part for _, part in bets),
            reserve=reserve,
            period=_PERIOD,
        )
        self._effect = DesignEffect(losses, clusters)

    def update(
        self, losses: Floats, is_challenger: Booleans, p: Floats, clusters: Integers
    ) -> None:
        """Add events in the order of the log.

        Args:
            losses: 0 to 1, shape (losses, events).
            is_challenger: arm of each event.
            p: propensity of the challenger at each event, above 0 and below 1.
            clusters: cluster of each event's user.
        """
        if losses.shape[-1] == 0:
            return
        terms = self._compared.update(losses, is_challenger, p)
        self._effect.update(clusters, terms.z)
        margin = self._tolerance * terms.weight
        gains = np.concatenate([sign * terms.z - margin for sign in self._signs])
        self._mixture.update(gains, self._bets(terms, p, margin))

    def _bets(self, terms: Terms, p: Floats, margin: Floats) -> Floats:
        """Give the bet that grows fastest for each excess, kept within what an event may take."""
        base = 1.0 / terms.variance
        if self._is_relative:
            base *= terms.mean
        bets = self._excesses[:, np.newaxis] * base[:, np.newaxis, :]
        # The most that an event may take: the challenger without loss, or the control with all.
        largest = [np.maximum(terms.mean * (1.0 - p), (1.0 - terms.mean) * p)]
        if len(self._signs) > 1:
            largest.append(np.maximum((1.0 - terms.mean) * (1.0 - p), terms.mean * p))
        capped = [
            np.minimum(bets, (BET_SHARE_MAX / (each + margin))[:, np.newaxis, :])
            for each in largest
        ]
        return np.concatenate(capped)

    @property
    def design_effects(self) -> Floats:
        """Design effect of each hypothesis."""
        return np.tile(self._effect.values(), len(self._signs))

    @property
    def log_e(self) -> Floats:
        """Logarithm of the e-value of each hypothesis now, with its design effect."""
        return self._mixture.tempered(self._mixture.log_e, self.design_effects)

    @property
    def log_e_max(self) -> Floats:
        """Largest ``log_e`` of each hypothesis after any event so far."""
        return self._mixture.tempered(self._mixture.log_e_max, self.design_effects)

    def to_json(self) -> dict[str, Any]:
        """Give the state as JSON has it."""
        return {
            "compared": self._compared.to_json(),
            "mixture": self._mixture.to_json(),
            "effect": self._effect.to_json(),
        }

    def restore(self, obj: dict[str, Any]) -> None:
        """Take the state that ``to_json`` gave."""
        self._compared.restore(obj["compared"])
        self._mixture.restore(obj["mixture"])
        self._effect.restore(obj["effect"])
