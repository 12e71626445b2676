"""What the states of the oracle keep that the values do not show."""

from __future__ import annotations

from schemas.label import Label
from tests.oracle.merchant_state import MerchantState
from tests.oracle.user_state import UserState
from tests.unit.features.engine.brute_force import D, M
from tests.unit.features.engine.streams_of_events import START


def test_sums_of_amounts_beyond_64_bits_are_exact() -> None:
    state = UserState()
    for n in range(9):
        values = state.fold(
            transaction_id=f"tx-{n}",
            merchant_id="m",
            amount_minor=2**64,
            event_time_ms=START + n * M,
        )
        state = UserState.decode(state.encode())
    assert values.features["user_amount_sum_1h"] == 9 * 2**64


def test_dead_labels_and_ids_are_forgotten() -> None:
    state = MerchantState()
    for n in range(500):
        time_ms = START + n * D
        state.fold_transaction(transaction_id=f"tx-{n}", event_time_ms=time_ms, is_repeat=False)
        state.fold_label(Label(f"tx-{n}", "m", time_ms, time_ms, n % 2 == 0))
    assert len(state._labels._entries) < 200
    assert len(state._times_ms_of_ids) < 200
