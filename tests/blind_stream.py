"""Streams of the kinds that hide faults: ties, repeats that say something else, late events, labels
in any order.

The seed decides everything. Used in process and on the real job.
"""

from __future__ import annotations

import random
from dataclasses import replace

from features.definitions import DAY_MS, HOUR_MS
from infra.simulation.event import Event, label_event, transaction_event
from schemas.label import Label
from schemas.transaction import Transaction


class BlindStream:
    """Makes events in the order in which they are sent.

    Args:
        rng: decides everything.
        prefix: of all ids.
        start_ms: event time of the first transaction, ms since 1970 UTC.
        step_ms: longest time from one transaction in order to the next.
        observed_from_ms: earliest time of an observation; None: that of the transaction.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        prefix: str,
        start_ms: int,
        step_ms: int = 4 * HOUR_MS,
        observed_from_ms: int | None = None,
    ) -> None:
        self._rng = rng
        self._prefix = prefix
        self._newest_ms = start_ms
        self._step_ms = step_ms
        self._observed_from_ms = observed_from_ms
        self._sent: list[Transaction] = []

    def events(self, transactions: int) -> list[Event]:
        """Give this many transactions, and half as many labels somewhere among them."""
        rng = self._rng
        sent = [self._transaction(number) for number in range(transactions)]
        events = [transaction_event(transaction, is_replay=True) for transaction in sent]
        first = {transaction.transaction_id: transaction for transaction in reversed(sent)}
        for transaction in rng.choices([*first.values()], k=transactions // 2):
            label = label_event(self._label(transaction), is_replay=True)
            events.insert(rng.randrange(len(events) + 1), label)
        return events

    def _transaction(self, number: int) -> Transaction:
        rng = self._rng
        # A third of them in the same millisecond as another one.
        self._newest_ms += rng.choice([0, 1, rng.randrange(1, self._step_ms)])
        late_ms = rng.choice([0, 0, 0, 0, 1, rng.randrange(DAY_MS), rng.randrange(4 * DAY_MS)])
        sent = Transaction(
            transaction_id=f"{self._prefix}-{number}",
            user_id=f"{self._prefix}-u{rng.randrange(4)}",
            merchant_id=f"{self._prefix}-m{rng.randrange(6)}",
            amount_minor=rng.randrange(100_000),
            currency="EUR",
            event_time_ms=self._newest_ms - late_ms,
            device_type=rng.choice([None, "mobile", "web", "ü"]),
            ip_country=rng.choice([None, "DE", "AT"]),
        )
        if self._sent and rng.random() < 0.25:
            sent = self._repeat(sent)
        self._sent.append(sent)
        return sent

    def _repeat(self, other: Transaction) -> Transaction:
        """A recent transaction again: as it was, with another content, or for another user."""
        rng = self._rng
        known = rng.choice(self._sent[-30:])
        match rng.randrange(5):
            case 0:
                return known
            case 1:
                return replace(other, transaction_id=known.transaction_id)
            case _:
                return replace(other, transaction_id=known.transaction_id, user_id=known.user_id)

    def _label(self, transaction: Transaction) -> Label:
        rng = self._rng
        observed_ms = transaction.event_time_ms + rng.choice([0, rng.randrange(20 * DAY_MS)])
        if self._observed_from_ms is not None:
            observed_ms = self._observed_from_ms + rng.randrange(1_000)
        return Label(
            transaction_id=transaction.transaction_id,
            merchant_id=transaction.merchant_id,
            event_time_ms=transaction.event_time_ms,
            observed_time_ms=observed_ms,
            is_fraud=rng.random() < 0.6,
        )
