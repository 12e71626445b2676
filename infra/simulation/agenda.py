"""Purchases that are planned for later, taken out when they are due.

The rows are in two groups, near and far, so that taking a slice of live traffic looks only at the
rows of the next minute and not at all that are planned. Knows no clock; times are arguments.
"""

from typing import Final

import numpy as np

from infra.simulation.purchases import Purchases, joined, nothing

_NEAR_MS: Final = 60_000


class Agenda:
    """Planned purchases; each is taken exactly once."""

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
        """Take out the rows that are due before a time, earliest first.

        Args:
            until_ms: exclusive.
            count_max: take at most this many rows and keep the others; None for all.

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
        """Drop the rows that were planned before a time."""
        self.take_before(until_ms)

    def _bring_near(self, horizon_ms: int) -> None:
        far = joined((nothing(), *self._far))
        is_near = far.times_ms < horizon_ms
        self._near = joined((self._near, far.take(is_near)))
        self._far = [far.take(~is_near)]
        self._horizon_ms = horizon_ms
