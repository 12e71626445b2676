"""The bytes of one journal entry, and how to fold an entry again when a state is restored.

An entry holds what the fold of one record needs, as text fields with a separator. Pure; the stages
encode entries, `JournaledStates` replays them after a restart.
"""

from features.engine.state import MerchantState, UserState
from schemas.label import Label
from schemas.transaction import Transaction

_SEPARATOR = "\x1f"
"""Between the fields of an entry; ids contain no control characters."""
_TRANSACTION = "T"
_LABEL = "L"


def encode_user_entry(transaction: Transaction) -> bytes:
    """The entry of a transaction in its user's journal."""
    return _SEPARATOR.join(
        (
            transaction.transaction_id,
            transaction.merchant_id,
            str(transaction.amount_minor),
            str(transaction.event_time_ms),
        )
    ).encode()


def replay_user_entry(state: UserState, entry: bytes) -> None:
    """Fold an entry of :func:`encode_user_entry` into the user's state."""
    transaction_id, merchant_id, amount_minor, event_time_ms = _fields(entry)
    state.fold(
        transaction_id=transaction_id,
        merchant_id=merchant_id,
        amount_minor=int(amount_minor),
        event_time_ms=int(event_time_ms),
    )


def encode_merchant_entry(transaction: Transaction) -> bytes:
    """The entry of a transaction in its merchant's journal."""
    return _SEPARATOR.join(
        (_TRANSACTION, transaction.transaction_id, str(transaction.event_time_ms))
    ).encode()


def encode_label_entry(label: Label) -> bytes:
    """The entry of a label in its merchant's journal."""
    return _SEPARATOR.join(
        (
            _LABEL,
            label.transaction_id,
            str(label.event_time_ms),
            str(label.observed_time_ms),
            "1" if label.is_fraud else "0",
            label.merchant_id,
        )
    ).encode()


def replay_merchant_entry(state: MerchantState, entry: bytes) -> None:
    """Fold an entry of a transaction or of a label into the merchant's state."""
    kind, transaction_id, event_time_ms, *label = _fields(entry)
    if kind == _LABEL:
        observed_time_ms, is_fraud, merchant_id = label
        state.fold_label(
            Label(
                transaction_id=transaction_id,
                merchant_id=merchant_id,
                event_time_ms=int(event_time_ms),
                observed_time_ms=int(observed_time_ms),
                is_fraud=is_fraud == "1",
            )
        )
    else:
        state.fold_transaction(
            transaction_id=transaction_id, event_time_ms=int(event_time_ms), is_repeat=False
        )


def _fields(entry: bytes) -> list[str]:
    return entry.decode().split(_SEPARATOR)
