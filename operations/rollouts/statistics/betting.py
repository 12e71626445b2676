"""Betting e-processes: wealth that grows only if a null hypothesis is false.

A gambler starts with 1 and bets before each event that the null hypothesis is false. If it is true,
no strategy gains on average, so the wealth ever reaches 1/alpha with a probability of at most alpha
(Ville's inequality), at any time, for any distribution on the bounds. Source: Waudby-Smith and
Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024.

Here each hypothesis is bet on with several sizes at once, each with its part of the first wealth.
The sum of their wealth is again an e-process; it costs at most log(1 / part) against the best size.

A challenger that was good for long has lost nearly all of that wealth, and would have to be bad for
as long before it showed. So a reserve is kept back, which is not bet, and every ``period`` events a
smaller stake of it starts again. The whole is still an e-process, and it remembers little of what
was long ago.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from operations.rollouts.statistics.running import Floats, running_sums

_STAKES_EXACT = 1_000

BET_SHARE_MAX = 0.75
"""Largest share of the wealth that one event may take."""


class BetMixture:
    """The wealth of several hypotheses, each bet on with the same parts.

    Attributes:
        log_wealth: logarithm of the wealth of each bet, shape (hypotheses, bets).
        log_e_max: largest logarithm of each hypothesis's e-value after any event so far.
    """

    def __init__(
        self, hypotheses: int, parts: tuple[float, ...], *, reserve: float, period: int
    ) -> None:
        """Start with wealth 1 for each hypothesis.

        Args:
            hypotheses: how many.
            parts: share of each stake behind each bet; they add up to 1.
            reserve: share of the first wealth that is kept back for later stakes, 0 to below 1.
            period: events from one stake to the next.
        """
        self._log_parts = np.log(np.array(parts))
        self._reserve = reserve
        self._period = period
        self._events = 0
        first = self._log_parts + math.log1p(-reserve)
        self.log_wealth = np.tile(first, (hypotheses, 1))
        self.log_e_max = np.zeros(hypotheses)

    def update(self, gains: Floats, bets: Floats) -> None:
        """Bet on the events of a batch.

        Args:
            gains: shape (hypotheses, events); of mean 0 or less if the hypothesis is true.
            bets: shape (hypotheses, bets, events) or one that broadcasts to it; chosen before the
                event, with ``bet * gain >= -BET_SHARE_MAX``.
        """
        factors = np.log1p(bets * gains[:, np.newaxis, :])
        begin, events = 0, gains.shape[-1]
        while begin < events:
            end = min(events, begin + self._period - self._events % self._period)
            self._bet(factors[..., begin:end])
            begin = end

    def _bet(self, factors: Floats) -> None:
        """Bet on events of one period."""
        path = running_sums(self.log_wealth, factors)
        self.log_wealth = path[..., -1].copy()
        # The largest sum is at most the sum of the largest: mostly this shows, without computing
        # the sum after each event, that the batch has no new maximum.
        bounds = self._with_reserve(np.logaddexp.reduce(path.max(axis=-1), axis=-1))
        for hypothesis in np.flatnonzero(bounds > self.log_e_max):
            log_e = self._with_reserve(np.logaddexp.reduce(path[hypothesis], axis=0))
            self.log_e_max[hypothesis] = max(self.log_e_max[hypothesis], log_e.max())
        self._events += factors.shape[-1]
        if self._events % self._period == 0 and self._reserve > 0.0:
            stake = math.log(self._reserve / (self._stakes * (self._stakes + 1)))
            self.log_wealth = np.logaddexp(self.log_wealth, self._log_parts + stake)

    @property
    def _stakes(self) -> int:
        """Number of the stakes from the reserve; the j-th is reserve / (j (j + 1))."""
        return self._events // self._period

    def _with_reserve(self, log_wealth: Floats) -> Floats:
        if self._reserve == 0.0:
            return log_wealth
        # What the stakes have left of the reserve.
        rest: Floats = np.logaddexp(log_wealth, math.log(self._reserve / (self._stakes + 1)))
        return rest

    @property
    def log_e(self) -> Floats:
        """Logarithm of the e-value of each hypothesis now."""
        return self._with_reserve(np.logaddexp.reduce(self.log_wealth, axis=-1))

    def tempered(self, log_e: Floats, effects: Floats) -> Floats:
        """Give log e-values that are valid although sums vary more by a design effect.

        The e-value of one bet, to the power of 1 / effect, is one again (`difference_guard`). That
        of the mixture is at most the sum of those of the bets, each times its share of the first
        wealth to the same power; so the sum of these powers is taken off.

        Args:
            log_e: of each hypothesis.
            effects: design effect of each, at least 1.
        """
        powers = 1.0 / effects
        by_bet = np.exp(self._log_parts * powers[:, np.newaxis]).sum(axis=-1)
        stakes = np.array([_sum_of_powers(self._stakes, power) for power in powers])
        later = self._reserve**powers * (by_bet * stakes + (self._stakes + 1.0) ** -powers)
        tempered: Floats = log_e * powers - np.log(by_bet * (1.0 - self._reserve) ** powers + later)
        return tempered

    def to_json(self) -> dict[str, Any]:
        """Give the state as JSON has it."""
        return {
            "events": self._events,
            "log_wealth": self.log_wealth.tolist(),
            "log_e_max": self.log_e_max.tolist(),
        }

    def restore(self, obj: dict[str, Any]) -> None:
        """Take the state that ``to_json`` gave."""
        self._events = int(obj["events"])
        self.log_wealth = np.array(obj["log_wealth"], dtype=float).reshape(self.log_wealth.shape)
        self.log_e_max = np.array(obj["log_e_max"], dtype=float).reshape(self.log_e_max.shape)


def _sum_of_powers(stakes: int, power: float) -> float:
    """Give the sum of 1 / (j (j + 1)) to a power over j up to ``stakes``, or a little more."""
    exact = min(stakes, _STAKES_EXACT)
    number = np.arange(1.0, exact + 1.0)
    total = float(np.sum((number * (number + 1.0)) ** -power))
    if stakes > exact:
        slope = 1.0 - 2.0 * power
        end, begin = math.log(stakes), math.log(exact)
        # The integral of x ** (-2 power).
        total += (
            end - begin
            if abs(slope) < 1e-9
            else (math.exp(slope * end) - math.exp(slope * begin)) / slope
        )
    return total
