"""Purchases that are planned for later, taken out as their time comes.

Two heaps of rows, near and far, so that taking a slice of live traffic costs what is due within
a minute, not everything that is planned. Knows no clock: times are given.
"""

from typing import Final

import numpy as np

from infra.simulation.purchases import Purchases, joined, nothing

_NEAR_MS: Final = 60_000


class Agenda:
    """Planned purchases; none is lost, each is taken once."""

    def __init__(self) -> None:
        self._near = nothing()
        self._far: list[Purchases] = []
        # Every row before this time is in `_near`.
        self._horizon_ms = 0

    def plan(self, purchases: Purchases) -> None:
        """Add rows, in any order of time."""
        is_near = purchases.times_ms < self._horizon_ms
        self._near = joined((self._near, purchases.take(is_near)))
        self._far.append(purchases.take(~is_near))

    def take_before(self, until_ms: int, *, count_max: int | None = None) -> Purchases:
        """Take out what is due before a time, earliest first.

        Args:
            until_ms: exclusive.
            count_max: leave what is beyond this many for the next call; all when None.

        Returns:
            Rows in time order.
        """
        if until_ms > self._horizon_ms:
            self._bring_near(until_ms + _NEAR_MS)
        due = np.flatnonzero(self._near.times_ms < until_ms)
        due = due[np.argsort(self._near.times_ms[due], kind="stable")][:count_max]
        keep = np.ones(len(self._near), dtype=np.bool_)
        keep[due] = False
        taken, self._near = self._near.take(due), self._near.take(keep)
        return taken

    def drop_before(self, until_ms: int) -> None:
        """Forget what was planned before a time: nobody was there to see it."""
        self.take_before(until_ms)

    def _bring_near(self, horizon_ms: int) -> None:
        far = joined((nothing(), *self._far))
        is_near = far.times_ms < horizon_ms
        self._near = joined((self._near, far.take(is_near)))
        self._far = [far.take(~is_near)]
        self._horizon_ms = horizon_ms
