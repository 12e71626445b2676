"""Replaying the entries of a journal restores the state byte for byte."""

import pytest

from features.engine.state import MerchantState, UserState
from schemas.label import Label
from schemas.transaction import Transaction
from streams.velocity.journal_entries import (
    encode_label_entry,
    encode_merchant_entry,
    encode_user_entry,
    replay_merchant_entry,
    replay_user_entry,
)
from tests.builders import NOW_MS, transaction_object

TRANSACTION = Transaction(**transaction_object(transaction_id="t-ü", merchant_id="m-😀"))


def test_a_replayed_user_entry_gives_the_state_of_the_fold() -> None:
    folded, replayed = UserState(), UserState()
    folded.fold(
        transaction_id=TRANSACTION.transaction_id,
        merchant_id=TRANSACTION.merchant_id,
        amount_minor=TRANSACTION.amount_minor,
        event_time_ms=TRANSACTION.event_time_ms,
    )
    replay_user_entry(replayed, encode_user_entry(TRANSACTION))
    assert replayed.encode() == folded.encode()


@pytest.mark.parametrize("is_fraud", [True, False])
def test_replayed_merchant_entries_give_the_state_of_the_folds(is_fraud: bool) -> None:
    label = Label(
        transaction_id=TRANSACTION.transaction_id,
        merchant_id=TRANSACTION.merchant_id,
        event_time_ms=TRANSACTION.event_time_ms,
        observed_time_ms=NOW_MS,
        is_fraud=is_fraud,
    )
    folded, replayed = MerchantState(), MerchantState()
    folded.fold_transaction(
        transaction_id=TRANSACTION.transaction_id,
        event_time_ms=TRANSACTION.event_time_ms,
        is_repeat=False,
    )
    folded.fold_label(label)
    replay_merchant_entry(replayed, encode_merchant_entry(TRANSACTION))
    replay_merchant_entry(replayed, encode_label_entry(label))
    assert replayed.encode() == folded.encode()
