"""The list of features: entity, quantity, aggregate, window, delay, and the limits they hold under.

Names and the digest are derived from the list, never typed. To add a feature, add a line here.
The engine computes what is listed; rows, decisions and models carry ``DEFINITION_DIGEST``; the
documents are checked against the list. Imports no other module of ours.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

Entity = Literal["user", "merchant"]
Quantity = Literal["transaction", "amount", "merchant", "fraud"]
Aggregate = Literal["count", "sum", "mean", "distinct", "rate"]
ValueType = Literal["int64", "double"]

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

LATENESS_MS = DAY_MS
"""An event at most this much older than its key's newest event gets exact values."""

IDENTITY_MS = DAY_MS
"""A transaction id is remembered until the user's newest event time has advanced by more than this
since the first delivery of the id."""

LABEL_WAIT_MS = 60 * DAY_MS
"""A label of an unknown transaction is kept until the merchant's newest event time is more than
this after the label's observed time."""

TILES_PER_WINDOW = 64
"""When a key has more than ``Caps.events_max`` single events, its oldest events are folded into
tiles. A tile holds count and sum of ``window_ms // TILES_PER_WINDOW`` ms, on an absolute grid; each
window has a grid of its own.

**The error bound.** A value whose window holds tiled events is named in ``approximate``. It is the
exact value of a window whose edges are moved back. If the open edge falls inside a tile that holds
events, it moves to the start of that tile, by less than 1/64 of the window. The closed edge moves
only if tiled events are younger than it (the event came late, or the window is delayed). It moves
on the grid of the entity's shortest window, by less than 1/64 of that window. So a count or a sum
is wrong by at most the events of one tile at each edge, and no event sees its future. Numerator and
denominator of a rate have the same edges, so a rate stays between 0 and 1. A late event always
counts itself.
"""


@dataclass(frozen=True, slots=True)
class Caps:
    """The limits of one key's state. Fixed in production, smaller in tests.

    Attributes:
        events_max: single events kept, at least 4; above it the oldest quarter becomes tiles.
        ids_max: transaction ids kept within ``IDENTITY_MS``; above it the oldest id is dropped,
            and a repeat of that id would count twice.
        merchants_max: distinct merchants kept of a user; above it the merchant with the oldest
            last visit is dropped, and a distinct count that needs it is a lower bound, marked
            approximate.
        visits_max: single visits (time, merchant) kept of a user to answer for late events; above
            it the oldest quarter is dropped, and a late event's distinct count that needs it is a
            lower bound, marked approximate.
        labelled_max: transactions of a merchant whose labels are kept; above it the oldest quarter
            is dropped, and merchant rates that reach back to them are approximate, without a bound.
        observations_max: labels kept of one transaction, at least 1; above it the label with the
            earliest observed time is dropped, with the same consequence.
    """

    events_max: int = 16_384
    ids_max: int = 262_144
    merchants_max: int = 4_096
    visits_max: int = 16_384
    labelled_max: int = 65_536
    observations_max: int = 16

    def __post_init__(self) -> None:
        """Refuse caps that are too small for the engine."""
        if self.events_max < 4 or self.visits_max < 4 or self.labelled_max < 4:
            raise ValueError(f"{self}: events_max, visits_max and labelled_max must be at least 4")
        if self.ids_max < 1 or self.merchants_max < 1 or self.observations_max < 1:
            raise ValueError(f"{self}: every cap must be at least 1")


CAPS = Caps()
EVENTS_MAX = CAPS.events_max
IDS_MAX = CAPS.ids_max


def duration_name(duration_ms: int) -> str:
    """Name a duration by its largest whole unit.

    Args:
        duration_ms: in ms, positive.

    Raises:
        ValueError: ``duration_ms`` is not positive.

    Examples:
        >>> [duration_name(ms) for ms in (300_000, 3_600_000, 86_400_000, 2_592_000_000, 1_500)]
        ['5m', '1h', '1d', '30d', '1500ms']
    """
    if duration_ms <= 0:
        raise ValueError(f"duration_ms={duration_ms}, must be positive")
    for unit_ms, unit in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m"), (SECOND_MS, "s")):
        if duration_ms % unit_ms == 0:
            return f"{duration_ms // unit_ms}{unit}"
    return f"{duration_ms}ms"


_QUANTITY_OF: dict[Aggregate, Quantity] = {
    "count": "transaction",
    "sum": "amount",
    "mean": "amount",
    "distinct": "merchant",
    "rate": "fraud",
}


@dataclass(frozen=True, slots=True)
class Velocity:
    """One velocity feature: an aggregate of a quantity over a window of one entity's events.

    The events are those of the key that arrived before or with the scored one and whose event
    time lies in ``(t - delay_ms - window_ms, t - delay_ms]``, t being the scored event's time.

    Attributes:
        entity: kind of the key.
        quantity: what is aggregated; amounts are in minor units.
        aggregate: how it is aggregated.
        window_ms: length of the window in ms, positive.
        delay_ms: time from the end of the window to the event, in ms.

    Examples:
        >>> Velocity("user", "amount", "sum", 5 * MINUTE_MS).name
        'user_amount_sum_5m'
        >>> Velocity("merchant", "fraud", "rate", 30 * DAY_MS, delay_ms=7 * DAY_MS).name
        'merchant_fraud_rate_30d_delay_7d'
    """

    entity: Entity
    quantity: Quantity
    aggregate: Aggregate
    window_ms: int
    delay_ms: int = 0

    def __post_init__(self) -> None:
        """Refuse a feature that the engine cannot compute."""
        if _QUANTITY_OF.get(self.aggregate) != self.quantity:
            raise ValueError(f"no aggregate {self.aggregate!r} of quantity {self.quantity!r}")
        if self.window_ms < TILES_PER_WINDOW or self.delay_ms < 0:
            raise ValueError(
                f"window_ms={self.window_ms}, delay_ms={self.delay_ms}: "
                f"at least {TILES_PER_WINDOW} and 0 are needed"
            )

    @property
    def name(self) -> str:
        """``{entity}_{quantity}_{aggregate}_{window}``, then ``_delay_{delay}`` if there is one."""
        delay = f"_delay_{duration_name(self.delay_ms)}" if self.delay_ms else ""
        window = duration_name(self.window_ms)
        return f"{self.entity}_{self.quantity}_{self.aggregate}_{window}{delay}"

    @property
    def value_type(self) -> ValueType:
        """Type of the value; a mean may also be null."""
        return "double" if self.aggregate in ("mean", "rate") else "int64"


@dataclass(frozen=True, slots=True)
class OnDemand:
    """A feature computed from the event alone, see ``features/on_demand.py``.

    Attributes:
        name: its name, as on the wire.
        meaning: its definition as a sentence; a part of the digest.
    """

    name: str
    meaning: str

    @property
    def value_type(self) -> ValueType:
        """Type of the value, always an integer."""
        return "int64"


def _across(
    entity: Entity,
    measures: tuple[tuple[Quantity, Aggregate], ...],
    windows_ms: tuple[int, ...],
    *,
    delay_ms: int = 0,
) -> tuple[Velocity, ...]:
    """Combine every measure with every window, ordered by measure."""
    return tuple(
        Velocity(entity, quantity, aggregate, window_ms, delay_ms)
        for quantity, aggregate in measures
        for window_ms in windows_ms
    )


USER_FEATURES = (
    *_across(
        "user",
        (("transaction", "count"), ("amount", "sum"), ("amount", "mean")),
        (5 * MINUTE_MS, HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS),
    ),
    *_across("user", (("merchant", "distinct"),), (5 * MINUTE_MS, DAY_MS)),
)
"""Features of the user's transactions up to and including the event."""

# Labels arrive with a delay. Without a delay of the window the values would also depend on the
# order in which the partitions of users are read, and a replay would not give the same values.
MERCHANT_FEATURES = _across(
    "merchant",
    (("transaction", "count"), ("fraud", "rate")),
    (DAY_MS, 7 * DAY_MS, 30 * DAY_MS),
    delay_ms=7 * DAY_MS,
)
"""Features of the merchant's transactions and labels, up to a week before the event."""

ON_DEMAND_FEATURES = (
    OnDemand("hour_of_day", "Hour of the event time, UTC, 0 to 23."),
    OnDemand("is_weekend", "1 on Saturday and Sunday, UTC, else 0."),
    OnDemand("is_night", "1 from 00:00:00.000 to 06:59:59.999 UTC, else 0."),
)
"""Features computed from the event alone."""

FEATURE_NAMES: tuple[str, ...] = (
    *(feature.name for feature in USER_FEATURES),
    *(feature.name for feature in MERCHANT_FEATURES),
    *(feature.name for feature in ON_DEMAND_FEATURES),
)
"""All names in the order of the wire: user, merchant, on demand."""


def _digest() -> str:
    """Hash everything that a value depends on, including caps and tiles."""
    definitions = {
        "velocity": [asdict(feature) for feature in (*USER_FEATURES, *MERCHANT_FEATURES)],
        "on_demand": [asdict(feature) for feature in ON_DEMAND_FEATURES],
        "caps": asdict(CAPS),
        "lateness_ms": LATENESS_MS,
        "identity_ms": IDENTITY_MS,
        "label_wait_ms": LABEL_WAIT_MS,
        "tiles_per_window": TILES_PER_WINDOW,
    }
    text = json.dumps(definitions, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


DEFINITION_DIGEST = _digest()
"""16 hexadecimal digits. Rows, decisions, models and states of two digests must not be mixed."""
