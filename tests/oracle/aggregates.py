"""Count, sum, mean, distinct, rate: from the content of a window to the value of a feature.

The content of a window is two integers, a count and a total. Both can be added and subtracted, so
the state keeps running totals and an aggregate only reads them. Aggregates know nothing of
windows; ``Plan`` combines the two. The states call it once for each event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from features.definitions import Aggregate, Velocity
from features.engine.values import FeatureValue
from tests.oracle.windows import Span


def read_count(count: int, _total: int) -> int:
    """Give the number of events in the window."""
    return count


def read_sum(_count: int, total: int) -> int:
    """Give the sum over the window's events, in the unit of the quantity."""
    return total


def read_mean(count: int, total: int) -> float | None:
    """Give sum / count, correctly rounded; None for an empty window.

    Examples:
        >>> read_mean(2, 25), read_mean(0, 0)
        (12.5, None)
    """
    return total / count if count else None


def read_rate(count: int, total: int) -> float:
    """Give the share of the window's events that are marked; 0 for an empty window.

    Examples:
        >>> read_rate(4, 1), read_rate(0, 0)
        (0.25, 0.0)
    """
    return total / count if count else 0.0


READERS: dict[Aggregate, Callable[[int, int], FeatureValue]] = {
    "count": read_count,
    "sum": read_sum,
    "mean": read_mean,
    "distinct": read_count,
    "rate": read_rate,
}


class PlannedFeature(NamedTuple):
    """One feature: its name, its reader, and the position of its window."""

    name: str
    read: Callable[[int, int], FeatureValue]
    position: int


class Plan:
    """The features of one entity, prepared for reading: each with its aggregate and its window.

    Args:
        windows: for each position its window and the aggregates that are read there. One window
            may have two positions if its aggregates count different things.
        features: the features to compute, in the order of the wire.

    Raises:
        ValueError: a feature has no window.
    """

    __slots__ = ("_features", "_names_at", "names")

    def __init__(
        self,
        windows: Sequence[tuple[frozenset[Aggregate], Span]],
        features: Sequence[Velocity],
    ) -> None:
        def position(feature: Velocity) -> int:
            span = Span(feature.window_ms, feature.delay_ms)
            for index, (aggregates, window) in enumerate(windows):
                if window == span and feature.aggregate in aggregates:
                    return index
            raise ValueError(f"no window of {feature.name} among {list(windows)}")

        self._features = tuple(
            PlannedFeature(feature.name, READERS[feature.aggregate], position(feature))
            for feature in features
        )
        self._names_at: dict[tuple[int, ...], tuple[str, ...]] = {}
        self.names = tuple(feature.name for feature in features)

    def values(self, counts: Sequence[int], totals: Sequence[int]) -> dict[str, FeatureValue]:
        """Read all features.

        Args:
            counts: number of events at each position.
            totals: sum at each position.
        """
        return {
            name: read(counts[position], totals[position])
            for name, read, position in self._features
        }

    def names_at(self, positions: tuple[int, ...]) -> tuple[str, ...]:
        """Name the features that are read at these positions, in the order of the wire."""
        names = self._names_at.get(positions)
        if names is None:
            names = tuple(name for name, _, position in self._features if position in positions)
            self._names_at[positions] = names
        return names
