"""The unit of traffic: one record with its due time.

Used by the generator, the reader of tables and the senders. Knows neither Kafka nor a clock.
"""

from dataclasses import dataclass

from schemas.codec import encode_label, encode_transaction
from schemas.label import Label
from schemas.topics import LABELS, TRANSACTIONS
from schemas.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Event:
    """One record for one topic.

    Attributes:
        due_ms: time at which live traffic is sent, ms since 1970 UTC: the event time of a
            transaction, the observed time of a label.
        topic: `TRANSACTIONS` or `LABELS`.
        event_id: unique id of the record, becomes `ce_id`.
        key: the Kafka key, UTF-8.
        value: the wire form, JSON in UTF-8.
        is_replay: marked as a replay, so that any event time is accepted.
    """

    due_ms: int
    topic: str
    event_id: str
    key: bytes
    value: bytes
    is_replay: bool

    @property
    def is_transaction(self) -> bool:
        """Whether this is a transaction and not a label."""
        return self.topic == TRANSACTIONS


def transaction_event(transaction: Transaction, *, is_replay: bool) -> Event:
    """Give the event of a transaction, due at its event time and keyed by its user."""
    return Event(
        due_ms=transaction.event_time_ms,
        topic=TRANSACTIONS,
        event_id=transaction.transaction_id,
        key=transaction.user_id.encode(),
        value=encode_transaction(transaction),
        is_replay=is_replay,
    )


def label_event(label: Label, *, is_replay: bool) -> Event:
    """Give the event of a label, due at its observed time and keyed by its merchant."""
    return Event(
        due_ms=label.observed_time_ms,
        topic=LABELS,
        event_id=f"{label.transaction_id}@{label.observed_time_ms}",
        key=label.merchant_id.encode(),
        value=encode_label(label),
        is_replay=is_replay,
    )
