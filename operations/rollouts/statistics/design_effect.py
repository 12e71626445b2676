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

CLUSTERS = 128


def cluster_of(user_id: str) -> int:
    """Give the cluster of a user; independent of its arm, because no salt is in the hash."""
    return blake2b(b"cluster\0" + user_id.encode(), digest_size=1).digest()[0] % CLUSTERS


class DesignEffect:
    """The design effect of several sums over the same events."""

    def __init__(self, sums: int) -> None:
        """Start empty."""
        self._by_cluster = np.zeros((sums, CLUSTERS))
        self._squares = np.zeros(sums)

    def update(self, clusters: Integers, values: Floats) -> None:
        """Add events.

        Args:
            clusters: cluster of each event.
            values: shape (sums, events); of mean about 0.
        """
        for row, row_values in zip(self._by_cluster, values, strict=True):
            np.add.at(row, clusters, row_values)
        self._squares = running_sums(self._squares, values * values)[..., -1].copy()

    def values(self) -> Floats:
        """Give the design effect of each sum, at least 1; 1 before there are events."""
        between = np.square(self._by_cluster).sum(axis=1)
        between -= np.square(self._by_cluster.sum(axis=1)) / CLUSTERS
        between *= CLUSTERS / (CLUSTERS - 1)
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
