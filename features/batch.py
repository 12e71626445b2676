"""The list of batch features, which a scheduled job computes once a day from the archive.

A snapshot at midnight UTC holds each user's values over the full days before it. Batch features
are not computed in the stream: the definition digest does not cover them, and a feature row does
not carry them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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

LABEL_VIEW: Final = "transaction_labels"
"""The name of the feature view, and of the table in the archive, of what the labels said when."""

BATCH_AGE_MS_MAX: Final = 2 * DAY_MS
"""Largest age of a snapshot that a transaction may use: one day until the next snapshot, and one
day for that to be late."""

NO_HISTORY: Final[Mapping[str, int | float | None]] = {
    feature.name: None
    if feature.aggregate == "mean"
    else (0.0 if feature.value_type == "double" else 0)
    for feature in BATCH_FEATURES
}
"""The values of a user without transactions in the window: counts and rates 0, means null."""
