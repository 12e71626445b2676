"""The list of batch features, which a scheduled job computes once a day from the archive.

A snapshot at midnight UTC holds each user's values over the full days before it. Batch features
are not computed in the stream: the definition digest does not cover them, and a feature row does
not carry them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from features.definitions import DAY_MS, Aggregate, Quantity, ValueType, duration_name


@dataclass(frozen=True, slots=True)
class BatchFeature:
    """One batch feature of a user: an aggregate over the days before a snapshot.

    The window is ``[S - window_ms, S)`` of event time, where S is the midnight UTC of the
    snapshot. A transaction counts as fraud if its latest label observed before S says so.

    Examples:
        >>> BatchFeature("amount", "mean").name
        'user_amount_mean_90d_batch'
    """

    quantity: Quantity
    aggregate: Aggregate
    window_ms: int = 90 * DAY_MS

    @property
    def name(self) -> str:
        """``user_{quantity}_{aggregate}_{window}_batch``."""
        window = duration_name(self.window_ms)
        return f"user_{self.quantity}_{self.aggregate}_{window}_batch"

    @property
    def value_type(self) -> ValueType:
        """The type of the values."""
        return "double" if self.aggregate in ("mean", "rate") else "int64"


BATCH_FEATURES: Final = (
    BatchFeature("transaction", "count"),
    BatchFeature("amount", "mean"),
    BatchFeature("fraud", "count"),
    BatchFeature("fraud", "rate"),
)
"""A user's average transaction and fraud history."""

BATCH_NAMES: Final = tuple(feature.name for feature in BATCH_FEATURES)

BATCH_VIEW: Final = "user_statistics"
"""The name of their feature view, and of their table in the archive."""


@dataclass(frozen=True, slots=True)
class BatchView:
    """Batch features with one window, which one table of snapshots holds.

    Attributes:
        name: of the feature view, and of the table in the archive.
        features: of one window.
        description: for readers of Feast's registry.

    Raises:
        ValueError: the features have several windows.
    """

    name: str
    features: tuple[BatchFeature, ...]
    description: str

    def __post_init__(self) -> None:
        """Refuse features of several windows: one query computes them."""
        if len({feature.window_ms for feature in self.features}) != 1:
            raise ValueError(f"the features of {self.name} have several windows")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its features, in their order."""
        return tuple(feature.name for feature in self.features)

    @property
    def window_ms(self) -> int:
        """The window of its features, ms."""
        return self.features[0].window_ms

    @property
    def no_history(self) -> Mapping[str, int | float | None]:
        """The values without transactions in the window: counts, sums, rates 0, means null."""
        return _no_history(self.features)


@cache
def _no_history(features: tuple[BatchFeature, ...]) -> Mapping[str, int | float | None]:
    return {
        feature.name: None
        if feature.aggregate == "mean"
        else (0.0 if feature.value_type == "double" else 0)
        for feature in features
    }


STATISTICS: Final = BatchView(
    BATCH_VIEW,
    BATCH_FEATURES,
    "A user's average transaction and fraud history, up to midnight UTC.",
)
"""What the fraud model takes."""

ACTIVITY: Final = BatchView(
    "user_activity",
    (
        BatchFeature("transaction", "count", 30 * DAY_MS),
        BatchFeature("amount", "sum", 30 * DAY_MS),
        BatchFeature("amount", "mean", 30 * DAY_MS),
    ),
    "What a user bought in 30 days, up to midnight UTC.",
)
"""How often and how much a user buys: for models of users."""

BATCH_VIEWS: Final = (STATISTICS, ACTIVITY)

LABEL_VIEW: Final = "transaction_labels"
"""The name of the feature view, and of the table in the archive, of what the labels said when."""

BATCH_AGE_MS_MAX: Final = 2 * DAY_MS
"""Largest age of a snapshot that a transaction may use: one day until the next snapshot, and one
day for that to be late."""

NO_HISTORY: Final = STATISTICS.no_history
"""The values of a user without transactions in the window of `STATISTICS`."""
