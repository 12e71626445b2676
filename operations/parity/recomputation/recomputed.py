"""The result of the recomputation: the features of every transaction, the last values of entities.

Filled by `audit`, one entry for each compared row, and read by `operations.parity.surfaces`, which
compares decisions, Redis and training rows with it. Pure. Memory: about 1 kB a transaction.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Final

from features.definitions import FEATURE_NAMES, MERCHANT_FEATURES, USER_FEATURES, Entity
from features.engine.state import MerchantState, UserState, Values
from operations.parity.report import Value
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
    """Features by transaction id, and the last values of users and merchants.

    Attributes:
        entities: last values by entity and id.
        flat: the features of all transactions, one after the other in the order of
            ``FEATURE_NAMES``; NaN is null. `position` says where each transaction is.
        old: transactions whose row is of other definitions; the values are of the present ones.
        places: partition and offset of a transaction's row in the feature log, where the reader
            noted it.
    """

    flat: "array[float]" = field(default_factory=lambda: array("d"))
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    old: set[str] = field(default_factory=set)

    entities: dict[Entity, dict[str, EntityValues]] = field(
        default_factory=lambda: {"user": {}, "merchant": {}}
    )
    _at: dict[str, int] = field(default_factory=dict)
    _marks: dict[int, frozenset[str]] = field(default_factory=dict)
    _texts: list[tuple[int, str | None, str | None]] = field(default_factory=list)

    def __len__(self) -> int:
        """How many transactions."""
        return len(self._at)

    def __contains__(self, transaction_id: str) -> bool:
        """Whether a transaction was recomputed."""
        return transaction_id in self._at

    def add(
        self,
        transaction: Transaction,
        of_user: Values,
        on_demand: Mapping[str, Value],
        *,
        is_old: bool = False,
    ) -> None:
        """Add a transaction and its user and on-demand features; `complete` adds the rest."""
        at = self._at[transaction.transaction_id] = len(self._at)
        if is_old:
            self.old.add(transaction.transaction_id)
        self.flat.extend([nan] * _WIDTH)
        self._put(at, 0, of_user.features)
        self._put(at, _ON_DEMAND_FIRST, on_demand)
        self._mark(at, frozenset(of_user.approximate))
        self._texts.append(
            (transaction.amount_minor, transaction.device_type, transaction.ip_country)
        )

    def complete(
        self, transaction_id: str, of_merchant: Mapping[str, Value], marks: frozenset[str]
    ) -> None:
        """Add the merchant features of a transaction that was added."""
        at = self._at[transaction_id]
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
        return list(self._at)

    def position(self, transaction_id: str) -> int:
        """The index of a transaction in the order they were added, from 0."""
        return self._at[transaction_id]

    def amount_minor(self, transaction_id: str) -> int:
        """The amount of a transaction, in minor units."""
        return self._texts[self._at[transaction_id]][0]

    def values(self, transaction_id: str) -> list[float]:
        """The features of a transaction in the order of ``FEATURE_NAMES``; NaN is null."""
        first = self._at[transaction_id] * _WIDTH
        return self.flat[first : first + _WIDTH].tolist()

    def features(self, transaction_id: str) -> dict[str, Value]:
        """The features of a transaction by name, as the vector encoder takes them."""
        values = self.values(transaction_id)
        return {
            # A value that is not itself is NaN.
            name: value if value == value else None  # noqa: PLR0124
            for name, value in zip(FEATURE_NAMES, values, strict=True)
        }

    def marks(self, transaction_id: str) -> frozenset[str]:
        """The names of a transaction's features that are approximate."""
        return self._marks.get(self._at[transaction_id], _NO_MARKS)

    def transaction(self, transaction_id: str) -> Transaction:
        """The fields of a transaction that a vector is encoded from; the others are empty."""
        amount_minor, device_type, ip_country = self._texts[self._at[transaction_id]]
        return Transaction(
            transaction_id=transaction_id,
            user_id="",
            merchant_id="",
            amount_minor=amount_minor,
            currency="",
            event_time_ms=0,
            device_type=device_type,
            ip_country=ip_country,
        )

    def _put(self, at: int, first: int, features: Mapping[str, Value]) -> None:
        for position, value in enumerate(features.values(), start=at * _WIDTH + first):
            if value is not None:
                self.flat[position] = value

    def _mark(self, at: int, marks: frozenset[str]) -> None:
        if marks:
            self._marks[at] = self._marks.get(at, _NO_MARKS) | marks
