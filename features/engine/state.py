"""The states of users and merchants, and the fold (state, event) -> (state, values).

A face of the native engine (``native/``), which computes everything. Owns the names of the domain:
the engine knows entities only by their position in the plan. The API, parity, training and the
tests call it; the velocity job and the backfill call the same engine for batches (``job.py``).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar, Self

import weir_engine

from features.definitions import CAPS, Caps, Entity
from features.engine.plan import ENTITIES, plan_json
from features.engine.values import Values
from features.engine.version import check_engine_version
from schemas.errors import WeirError

if TYPE_CHECKING:
    from schemas.label import Label

__all__ = ["MerchantState", "StateBytesError", "UserState", "Values"]


class StateBytesError(WeirError, ValueError):
    """Bytes that are not a state of this kind, of this format and of these definitions.

    Do not repair them: states are derived, so rebuild them from the logs.
    """


@functools.cache
def _plan(caps: Caps) -> weir_engine.Plan:
    check_engine_version()
    return weir_engine.Plan(plan_json(caps=caps))


def _position(entity: Entity) -> int:
    return next(at for at, planned in enumerate(ENTITIES) if planned.entity == entity)


class _State:
    """What the states of all entities have in common.

    Args:
        caps: limits; tests use smaller ones.
    """

    __slots__ = ("_native",)

    _entity: ClassVar[int]

    def __init__(self, *, caps: Caps = CAPS) -> None:
        self._native = _plan(caps).new_state(self._entity)

    @property
    def sequence(self) -> int:
        """Number of changes of the state so far."""
        return self._native.sequence

    @property
    def newest_ms(self) -> int | None:
        """Newest event time of a transaction, ms since 1970 UTC; None before the first."""
        return self._native.newest_ms

    def read(self, *, as_of_ms: int) -> Values:
        """Give the values as of a time, ms since 1970 UTC, and change nothing.

        As of a time more than ``LATENESS_MS`` before the newest event they are computed from the
        events that are left, and all are approximate. For an online state, see
        :meth:`encode_online`.
        """
        return Values(*self._native.read(as_of_ms=as_of_ms))

    def encode(self) -> bytes:
        """Give the full durable form.

        Raises:
            ValueError: the state is an online one, which lacks part of the durable form.
        """
        return self._native.encode()

    def encode_online(self) -> bytes:
        """Give a smaller form, enough to read, and for a user to peek, with the same values.

        It lacks the ids. For a user with so many events that some are in tiles, it also lacks part
        of the tiles and the merchants visited at their times. A read as of a time before the newest
        event may need them: such a value is approximate and may miss events.

        Raises:
            ValueError: the state was read from a form that lacks part of this one.
        """
        return self._native.encode_online()

    @classmethod
    def decode(cls, data: bytes, *, caps: Caps = CAPS) -> Self:
        """Read any form.

        Raises:
            StateBytesError: no state of this entity, of this format and of these definitions.
        """
        state = cls(caps=caps)
        try:
            state._native = _plan(caps).decode_state(cls._entity, data)
        except weir_engine.StateBytesError as error:
            raise StateBytesError(str(error)) from None
        return state


class UserState(_State):
    """The state of one user.

    Deterministic: a state decoded from bytes gives the same values and the same bytes as the state
    that wrote them, whatever is folded afterwards. Not safe for use by several threads.

    Args:
        caps: limits; tests use smaller ones.

    Attributes:
        sequence: number of transactions counted; repeats are not counted.
        newest_ms: newest event time, ms since 1970 UTC; None before the first.

    Examples:
        >>> state = UserState()
        >>> values = state.fold(
        ...     transaction_id="tx-1", merchant_id="m", amount_minor=250, event_time_ms=1_000
        ... )
        >>> values.features["user_amount_sum_1h"], values.features["user_transaction_count_1h"]
        (250, 1)
        >>> state.read(as_of_ms=3_601_000).features["user_transaction_count_1h"]
        0
    """

    __slots__ = ()

    _entity = _position("user")

    def fold(
        self, *, transaction_id: str, merchant_id: str, amount_minor: int, event_time_ms: int
    ) -> Values:
        """Count a transaction and give the values as of it, including the transaction.

        A transaction with a known id changes nothing and gives the values as of the event time of
        its first delivery, with ``repeat`` set. A transaction more than ``LATENESS_MS`` older than
        the newest counts in later windows; its own values are computed from the events that are
        left, and all are approximate.

        Args:
            transaction_id: identity of the transaction.
            merchant_id: the merchant that is paid.
            amount_minor: minor units, from 0 to 2^63 - 1.
            event_time_ms: ms since 1970 UTC, in any order, at most 2^60 from it.

        Raises:
            OverflowError: the amount is larger.
            ValueError: the time is farther from 1970, or the state is an online one, which holds no
                ids.
        """
        return Values(
            *self._native.fold(
                id=transaction_id, distinct=merchant_id, value=amount_minor, time_ms=event_time_ms
            )
        )

    def peek(
        self, *, transaction_id: str, merchant_id: str, amount_minor: int, event_time_ms: int
    ) -> Values:
        """Give what :meth:`fold` would return, and change nothing.

        An online state holds no ids, so it treats a known id like a new one.
        """
        return Values(
            *self._native.peek(
                id=transaction_id, distinct=merchant_id, value=amount_minor, time_ms=event_time_ms
            )
        )


class MerchantState(_State):
    """The state of one merchant.

    Every feature has a delay, so the order in which the partitions of users are read changes no
    value, as long as they differ by less than the delay. Deterministic like ``UserState``, and like
    it not safe for use by several threads.

    Args:
        caps: limits; tests use smaller ones.

    Attributes:
        sequence: number of transactions counted plus labels taken.
        newest_ms: newest event time of a transaction, ms since 1970 UTC; None before the first.
    """

    __slots__ = ()

    _entity = _position("merchant")

    def fold_transaction(
        self, *, transaction_id: str, event_time_ms: int, is_repeat: bool
    ) -> Values:
        """Count a transaction and give the values as of it.

        Args:
            transaction_id: identity of the transaction, to find its labels.
            event_time_ms: ms since 1970 UTC, in any order, at most 2^60 from it.
            is_repeat: the user's state has counted the transaction before; nothing changes.

        Raises:
            ValueError: the time is farther from 1970, or the state is an online one.
        """
        return Values(
            *self._native.fold(id=transaction_id, time_ms=event_time_ms, is_repeat=is_repeat)
        )

    def fold_label(self, label: Label) -> None:
        """Add a label of a transaction of this merchant; the transaction may arrive later.

        Raises:
            ValueError: the state is an online one.
        """
        self._native.fold_label(
            id=label.transaction_id,
            time_ms=label.event_time_ms,
            observed_ms=label.observed_time_ms,
            is_positive=label.is_fraud,
        )
