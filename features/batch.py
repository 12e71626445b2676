"""The list of batch features: what a scheduled job computes once a day from the archive.

A snapshot at midnight UTC holds each user's values over the whole days before it. They are no
part of the stream: the definition digest does not know them, a feature row does not carry them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from features.definitions import DAY_MS, Aggregate, Quantity, ValueType, duration_name


@dataclass(frozen=True, slots=True)
class BatchFeature:
    """One batch feature of a user: an aggregate over the days before a snapshot.

    The transactions are those with an event time in ``[S - window_ms, S)``, S being midnight
    UTC. One is a fraud when the latest label observed before S says so.

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
        """Whole numbers or not."""
        return "double" if self.aggregate in ("mean", "rate") else "int64"


BATCH_FEATURES: Final = (
    BatchFeature("transaction", "count"),
    BatchFeature("amount", "mean"),
    BatchFeature("fraud", "count"),
    BatchFeature("fraud", "rate"),
)
"""A user's habits and fraud history."""

BATCH_NAMES: Final = tuple(feature.name for feature in BATCH_FEATURES)

BATCH_VIEW: Final = "user_statistics"
"""The feature view, and the table of the archive, that holds them."""

LABEL_VIEW: Final = "transaction_labels"
"""The feature view, and the table of the archive, of what was known of a transaction when."""

BATCH_AGE_MS_MAX: Final = 2 * DAY_MS
"""A snapshot counts for a transaction up to this old: one day of its own, one of delay."""

NO_HISTORY: Final[Mapping[str, int | float | None]] = {
    feature.name: None
    if feature.aggregate == "mean"
    else (0.0 if feature.value_type == "double" else 0)
    for feature in BATCH_FEATURES
}
"""The values of a user without a transaction in the window: nothing, and the mean of nothing."""
