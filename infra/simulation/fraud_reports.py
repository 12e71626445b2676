"""The labels that follow the transactions of a simulated world: fraud reports and their revisions.

Decides which transactions are reported and how late, and keeps the labels until they are due. Every
draw comes from the world's generator. Called by `world.py`.
"""

import heapq
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from infra.simulation.event import Event, label_event
from infra.simulation.population import DAY_MS
from infra.simulation.purchases import HONEST, HOUR_MS
from schemas.label import Label
from schemas.transaction import Transaction

LABEL_DELAY_MS_MAX: Final = int(6.5 * DAY_MS)
"""No report comes later. Merchant features wait 7 days of event time for labels; the half day
between is the time that two topics may differ without a label coming too late."""


class FraudReports:
    """Labels that are not due yet.

    Args:
        random: the source of all draws; owned by the caller, advanced by each call.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._labels: list[tuple[int, int, Label]] = []
        self._planned = 0

    def draw_delays_ms(self, count: int) -> list[int]:
        """Delays of reports: log-normal, median 8 hours, at least one hour, within the limit."""
        hours = self._random.lognormal(np.log(8.0), 0.8, size=count)
        delays_ms = np.clip(hours * HOUR_MS, HOUR_MS, LABEL_DELAY_MS_MAX - HOUR_MS)
        result: list[int] = delays_ms.astype(np.int64).tolist()
        return result

    def plan(self, transaction: Transaction, *, kind: int, delay_ms: int, draw: float) -> None:
        """Plan the labels of one transaction.

        Of fraud 99 % is reported and 1.5 % is revised later; 1 % of honest purchases is reported as
        no fraud.

        Args:
            transaction: the transaction.
            kind: `HONEST`, or the kind of fraud.
            delay_ms: time from the transaction to the report, ms.
            draw: a uniform draw from 0 to 1 that decides what is reported.
        """
        if kind != HONEST:
            if draw < 0.99:
                self._add(transaction, delay_ms=delay_ms, is_fraud=True)
            if draw < 0.015:
                revised_ms = min(delay_ms + 18 * HOUR_MS, LABEL_DELAY_MS_MAX)
                self._add(transaction, delay_ms=revised_ms, is_fraud=False)
        elif draw < 0.01:
            self._add(transaction, delay_ms=delay_ms, is_fraud=False)

    def take_due(self, *, before_ms: int, not_before_ms: int, is_replay: bool) -> Iterator[Event]:
        """Take out the labels observed before a time, in order of their observed time.

        Args:
            before_ms: exclusive.
            not_before_ms: earliest due time; a label observed before it is due then.
            is_replay: mark the labels as a replay.
        """
        while self._labels and self._labels[0][0] < before_ms:
            event = label_event(heapq.heappop(self._labels)[2], is_replay=is_replay)
            yield replace(event, due_ms=max(event.due_ms, not_before_ms))

    def _add(self, transaction: Transaction, *, delay_ms: int, is_fraud: bool) -> None:
        label = Label(
            transaction_id=transaction.transaction_id,
            merchant_id=transaction.merchant_id,
            event_time_ms=transaction.event_time_ms,
            observed_time_ms=transaction.event_time_ms + delay_ms,
            is_fraud=is_fraud,
        )
        self._planned += 1
        heapq.heappush(self._labels, (label.observed_time_ms, self._planned, label))
