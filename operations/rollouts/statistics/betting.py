"""Betting e-processes: wealth that grows only if a null hypothesis is false.

A gambler starts with 1 and bets before each event that the null hypothesis is false. If it is true,
no strategy gains on average, so the wealth ever reaches 1/alpha with a probability of at most alpha
(Ville's inequality), at any time, for any distribution on the bounds. Source: Waudby-Smith and
Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024.

Here each hypothesis is bet on with several sizes at once, each with its part of the first 1. The
sum of their wealth is again an e-process, and costs at most log(1 / part) against the best size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operations.rollouts.statistics.running import Floats, running_sums

BET_SHARE_MAX = 0.75
"""Largest share of the wealth that one event may take."""


class BetMixture:
    """The wealth of several hypotheses, each bet on with the same parts.

    Attributes:
        log_wealth: logarithm of the wealth of each bet, shape (hypotheses, bets).
        log_e_max: largest logarithm of each hypothesis's e-value after any event so far.
    """

    def __init__(self, hypotheses: int, parts: tuple[float, ...]) -> None:
        """Start with wealth 1 for each hypothesis.

        Args:
            hypotheses: how many.
            parts: share of the first wealth behind each bet; they add up to 1.
        """
        self._log_parts = np.log(np.array(parts))
        self.log_wealth = np.zeros((hypotheses, len(parts)))
        self.log_e_max = np.zeros(hypotheses)

    def update(self, gains: Floats, bets: Floats) -> None:
        """Bet on the events of a batch.

        Args:
            gains: shape (hypotheses, events); of mean 0 or less if the hypothesis is true.
            bets: shape (hypotheses, bets, events) or one that broadcasts to it; chosen before the
                event, with ``bet * gain >= -BET_SHARE_MAX``.
        """
        if gains.shape[-1] == 0:
            return
        path = running_sums(self.log_wealth, np.log1p(bets * gains[:, np.newaxis, :]))
        self.log_wealth = path[..., -1].copy()
        # The largest sum is at most the sum of the largest: mostly this shows, without computing
        # the sum after each event, that the batch has no new maximum.
        bounds = np.logaddexp.reduce(self._log_parts + path.max(axis=-1), axis=-1)
        for hypothesis in np.flatnonzero(bounds > self.log_e_max):
            log_e = np.logaddexp.reduce(self._log_parts[:, np.newaxis] + path[hypothesis], axis=0)
            self.log_e_max[hypothesis] = max(self.log_e_max[hypothesis], log_e.max())

    @property
    def log_e(self) -> Floats:
        """Logarithm of the e-value of each hypothesis now."""
        log_e: Floats = np.logaddexp.reduce(self._log_parts + self.log_wealth, axis=-1)
        return log_e

    def tempered(self, log_e: Floats, effects: Floats) -> Floats:
        """Give log e-values that are valid although sums vary more by a design effect.

        The e-value of one bet, to the power of 1 / effect, is one again (`difference_guard`). That
        of the mixture is at most the sum of ``part ** (1 / effect)`` times those of the bets, so
        this sum is taken off.

        Args:
            log_e: of each hypothesis.
            effects: design effect of each, at least 1.
        """
        powers = 1.0 / effects
        costs = np.logaddexp.reduce(self._log_parts * powers[:, np.newaxis], axis=-1)
        tempered: Floats = log_e * powers - costs
        return tempered

    def to_json(self) -> dict[str, Any]:
        """Give the state as JSON has it."""
        return {"log_wealth": self.log_wealth.tolist(), "log_e_max": self.log_e_max.tolist()}

    def restore(self, obj: dict[str, Any]) -> None:
        """Take the state that ``to_json`` gave."""
        self.log_wealth = np.array(obj["log_wealth"], dtype=float).reshape(self.log_wealth.shape)
        self.log_e_max = np.array(obj["log_e_max"], dtype=float).reshape(self.log_e_max.shape)
