"""A state of the native engine and one of the oracle, side by side.

Each call goes to both, and both must give the same: values with their types and order, marks,
sequences, bytes. The tests choose the calls.
"""

from __future__ import annotations

from features.definitions import Caps
from features.engine import state as engine
from features.engine.values import Values
from schemas.label import Label
from tests.oracle import merchant_state, user_state
from tests.unit.features.engine.brute_force import Payment, Report

AnyUser = engine.UserState | user_state.UserState
AnyMerchant = engine.MerchantState | merchant_state.MerchantState


def equal(found: Values, expected: Values) -> Values:
    """Give the values of both; an integer is not a float, and the order of the names counts."""
    assert found == expected
    assert list(found.features) == list(expected.features)
    assert [*map(type, found.features.values())] == [*map(type, expected.features.values())]
    return found


class _Pair:
    """What the pairs of all entities have in common."""

    def __init__(self, caps: Caps, native: object, oracle: object) -> None:
        self._caps = caps
        self.native = native
        self.oracle = oracle

    def read(self, as_of_ms: int) -> None:
        equal(self.native.read(as_of_ms=as_of_ms), self.oracle.read(as_of_ms=as_of_ms))

    def check_bytes(self) -> bytes:
        """Compare the durable form; gives it."""
        data = self.native.encode()
        assert data == self.oracle.encode()
        assert self.native.sequence == self.oracle.sequence
        assert self.native.newest_ms == self.oracle.newest_ms
        return data

    def restore(self) -> None:
        """Go on with states that were read from their bytes."""
        data = self.check_bytes()
        self.native = type(self.native).decode(data, caps=self._caps)
        self.oracle = type(self.oracle).decode(data, caps=self._caps)

    def check_online(self, *as_of_ms: int) -> None:
        """Compare the online form, and reads of it."""
        data = self.native.encode_online()
        assert data == self.oracle.encode_online()
        native = type(self.native).decode(data, caps=self._caps)
        oracle = type(self.oracle).decode(data, caps=self._caps)
        assert native.encode_online() == data
        for at in as_of_ms:
            equal(native.read(as_of_ms=at), oracle.read(as_of_ms=at))


class UserPair(_Pair):
    """A user's states."""

    native: engine.UserState
    oracle: user_state.UserState

    def __init__(self, caps: Caps) -> None:
        super().__init__(caps, engine.UserState(caps=caps), user_state.UserState(caps=caps))

    def fold(self, payment: Payment) -> Values:
        return equal(*(_call(state.fold, payment) for state in (self.native, self.oracle)))

    def peek(self, payment: Payment) -> None:
        equal(*(_call(state.peek, payment) for state in (self.native, self.oracle)))


class MerchantPair(_Pair):
    """A merchant's states."""

    native: engine.MerchantState
    oracle: merchant_state.MerchantState

    def __init__(self, caps: Caps) -> None:
        super().__init__(
            caps, engine.MerchantState(caps=caps), merchant_state.MerchantState(caps=caps)
        )

    def fold(self, transaction_id: str, event_time_ms: int, *, is_repeat: bool = False) -> None:
        equal(
            *(
                state.fold_transaction(
                    transaction_id=transaction_id, event_time_ms=event_time_ms, is_repeat=is_repeat
                )
                for state in (self.native, self.oracle)
            )
        )

    def fold_label(self, report: Report) -> None:
        label = Label(
            transaction_id=report.transaction_id,
            merchant_id=report.merchant_id,
            event_time_ms=report.event_time_ms,
            observed_time_ms=report.observed_time_ms,
            is_fraud=report.is_fraud,
        )
        self.native.fold_label(label)
        self.oracle.fold_label(label)


def _call(method: object, payment: Payment) -> Values:
    return method(
        transaction_id=payment.transaction_id,
        merchant_id=payment.merchant_id,
        amount_minor=payment.amount_minor,
        event_time_ms=payment.event_time_ms,
    )
