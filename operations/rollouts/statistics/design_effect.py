"""How much the events of one user resemble each other, and what that costs.

A sticky assignment draws an arm once for a user, not once for an event. Events of a user then do
not vary by themselves, and sums over events vary more than if every event had been drawn: by the
design effect (Kish 1965), 1 if the events of a user have nothing in common. Users are hashed into
`CLUSTERS` clusters; the variance between the sums of the clusters holds whatever is common within
users, so the memory does not grow with the users.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np

from operations.rollouts.statistics.running import Floats, Integers, running_sums

CLUSTERS = 512
"""Number of clusters: the standard error of a design effect is sqrt(2 / clusters), 6 %."""

FEW_CLUSTERS = 64
"""For sums that have evidence to spare; it divides `CLUSTERS`. The standard error is 18 %."""


def cluster_of(user_id: str) -> int:
    """Give the cluster of a user; independent of its arm, because no salt is in the hash."""
    digest = blake2b(b"cluster\0" + user_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % CLUSTERS


class DesignEffect:
    """The design effect of several sums over the same events."""

    def __init__(self, sums: int, clusters: int = CLUSTERS) -> None:
        """Start empty.

        Args:
            sums: how many.
            clusters: how many to keep, a divisor of `CLUSTERS`.
        """
        self._clusters = clusters
        self._by_cluster = np.zeros((sums, clusters))
        self._squares = np.zeros(sums)

    def update(self, clusters: Integers, values: Floats) -> None:
        """Add events.

        Args:
            clusters: cluster of each event, from ``cluster_of``.
            values: shape (sums, events); of mean about 0.
        """
        own = clusters % self._clusters
        for row, row_values in zip(self._by_cluster, values, strict=True):
            np.add.at(row, own, row_values)
        self._squares = running_sums(self._squares, values * values)[..., -1].copy()

    def values(self) -> Floats:
        """Give the design effect of each sum, at least 1; 1 before there are events."""
        between = np.square(self._by_cluster).sum(axis=1)
        between -= np.square(self._by_cluster.sum(axis=1)) / self._clusters
        between *= self._clusters / (self._clusters - 1)
        within = np.where(self._squares > 0.0, self._squares, 1.0)
        effects: Floats = np.maximum(between / within, 1.0)
        return effects

    def to_json(self) -> dict[str, Any]:
        """Give the state as JSON has it."""
        return {"by_cluster": self._by_cluster.tolist(), "squares": self._squares.tolist()}

    def restore(self, obj: dict[str, Any]) -> None:
        """Take the state that ``to_json`` gave."""
        self._by_cluster = np.array(obj["by_cluster"], dtype=float)
        self._squares = np.array(obj["squares"], dtype=float)
