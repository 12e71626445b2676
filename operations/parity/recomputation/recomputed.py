"""The result of the recomputation: the features of every row, the last values of entities.

Filled by `audit`, one entry for each compared row, and read by `operations.parity.surfaces`, which
compares decisions, Redis and training rows with it. Of a transaction with several rows its first
row counts (`schemas.first_row`). Pure. Memory: about 1 kB a row.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Final

from features.definitions import FEATURE_NAMES, MERCHANT_FEATURES, USER_FEATURES, Entity
from features.engine.state import MerchantState, UserState, Values
from operations.parity.report import Value
from schemas.first_row import RowPlace, first_of
from schemas.transaction import Transaction

_WIDTH: Final = len(FEATURE_NAMES)
_MERCHANT_FIRST: Final = len(USER_FEATURES)
_ON_DEMAND_FIRST: Final = _MERCHANT_FIRST + len(MERCHANT_FEATURES)
_NO_MARKS: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class EntityValues:
    """An entity's values as of its newest event.

    Attributes:
        values: the features, with the sequence of the state.
        event_time_ms: of the newest event, ms since 1970 UTC; 0 without one.
    """

    values: Values
    event_time_ms: int


@dataclass(slots=True)
class Recomputed:
    """Features by row, and the last values of users and merchants.

    A position is the index of a row in the order in which rows were added, from 0.

    Attributes:
        entities: last values by entity and id.
        flat: the features of all rows, one after the other in the order of ``FEATURE_NAMES``; NaN
            is null.
        old: positions of rows of other definitions; the values are of the present ones.
        places: by position, where the row lies in the feature log.
    """

    flat: "array[float]" = field(default_factory=lambda: array("d"))
    places: list[RowPlace] = field(default_factory=list)
    old: set[int] = field(default_factory=set)

    entities: dict[Entity, dict[str, EntityValues]] = field(
        default_factory=lambda: {"user": {}, "merchant": {}}
    )
    _first: dict[str, int] = field(default_factory=dict)
    _several: dict[str, list[int]] = field(default_factory=dict)
    _marks: dict[int, frozenset[str]] = field(default_factory=dict)
    _texts: list[tuple[int, str | None, str | None]] = field(default_factory=list)

    def __len__(self) -> int:
        """How many transactions."""
        return len(self._first)

    def __contains__(self, transaction_id: str) -> bool:
        """Whether a transaction was recomputed."""
        return transaction_id in self._first

    def add(
        self,
        transaction: Transaction,
        of_user: Values,
        on_demand: Mapping[str, Value],
        *,
        place: RowPlace,
        is_old: bool = False,
    ) -> int:
        """Add a row and its user and on-demand features; `complete` adds the rest.

        Returns:
            The position of the row.
        """
        at = len(self.places)
        self.places.append(place)
        if is_old:
            self.old.add(at)
        self.flat.extend([nan] * _WIDTH)
        self._put(at, 0, of_user.features)
        self._put(at, _ON_DEMAND_FIRST, on_demand)
        self._mark(at, frozenset(of_user.approximate))
        self._texts.append(
            (transaction.amount_minor, transaction.device_type, transaction.ip_country)
        )
        self._note(transaction.transaction_id, at)
        return at

    def complete(self, at: int, of_merchant: Mapping[str, Value], marks: frozenset[str]) -> None:
        """Add the merchant features of the row at a position."""
        self._put(at, _MERCHANT_FIRST, of_merchant)
        self._mark(at, marks)

    def add_user(self, user_id: str, state: UserState) -> None:
        """Add a user's state after its last event."""
        as_of_ms = state.newest_ms or 0
        self.entities["user"][user_id] = EntityValues(state.read(as_of_ms=as_of_ms), as_of_ms)

    def add_merchant(self, merchant_id: str, state: MerchantState) -> None:
        """Add a merchant's state after its last event and label."""
        as_of_ms = state.newest_ms or 0
        self.entities["merchant"][merchant_id] = EntityValues(
            state.read(as_of_ms=as_of_ms), as_of_ms
        )

    def ids(self) -> list[str]:
        """All transaction ids, in the order they were added."""
        return list(self._first)

    def position(self, transaction_id: str) -> int:
        """The position of a transaction's first row."""
        return self._first[transaction_id]

    def position_at(self, transaction_id: str, partition: int, offset: int) -> int | None:
        """The position of the row of a transaction at a place of the log; None if it is unknown."""
        for at in self._several.get(transaction_id, (self._first[transaction_id],)):
            if self.places[at][:2] == (partition, offset):
                return at
        return None

    def amount_minor(self, at: int) -> int:
        """The amount in the row at a position, in minor units."""
        return self._texts[at][0]

    def values(self, at: int) -> list[float]:
        """The features of the row at a position, as ``FEATURE_NAMES`` orders them; NaN is null."""
        return self.flat[at * _WIDTH : (at + 1) * _WIDTH].tolist()

    def features(self, at: int) -> dict[str, Value]:
        """The features of the row at a position by name, as the vector encoder takes them."""
        return {
            # A value that is not itself is NaN.
            name: value if value == value else None  # noqa: PLR0124
            for name, value in zip(FEATURE_NAMES, self.values(at), strict=True)
        }

    def marks(self, at: int) -> frozenset[str]:
        """The names of the approximate features of the row at a position."""
        return self._marks.get(at, _NO_MARKS)

    def transaction(self, at: int) -> Transaction:
        """The fields that a vector is encoded from, of the row at a position; others are empty."""
        amount_minor, device_type, ip_country = self._texts[at]
        return Transaction(
            transaction_id="",
            user_id="",
            merchant_id="",
            amount_minor=amount_minor,
            currency="",
            event_time_ms=0,
            device_type=device_type,
            ip_country=ip_country,
        )

    def _note(self, transaction_id: str, at: int) -> None:
        """Note a row of a transaction, and choose its first row again."""
        known = self._first.setdefault(transaction_id, at)
        if known == at:
            return
        rows = self._several.setdefault(transaction_id, [known])
        rows.append(at)
        self._first[transaction_id] = rows[first_of([self.places[row] for row in rows])]

    def _put(self, at: int, first: int, features: Mapping[str, Value]) -> None:
        for position, value in enumerate(features.values(), start=at * _WIDTH + first):
            if value is not None:
                self.flat[position] = value

    def _mark(self, at: int, marks: frozenset[str]) -> None:
        if marks:
            self._marks[at] = self._marks.get(at, _NO_MARKS) | marks
