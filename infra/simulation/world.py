"""The generator: a seeded world of payments and the fraud reports that follow, in time order.

Pure: the same seed and the same calls give the same bytes. `history` makes past days with a
daily rhythm, `live` an exact rate from one moment on; both continue the same world. Knows no
clock and no Kafka; `pump` and `replay` send what this yields.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from infra.simulation.agenda import Agenda
from infra.simulation.event import Event, label_event, transaction_event
from infra.simulation.population import COUNTRIES, DAY_MS, DEVICES, IntArray, Population
from infra.simulation.purchases import (
    CARD_TESTING_MEAN,
    HONEST,
    HOUR_MS,
    STOLEN_CARD_MEAN,
    STOPS_MEAN,
    UNKNOWN,
    Purchases,
    Shoppers,
    hourly_weights,
    joined,
)
from schemas.label import Label
from schemas.transaction import Transaction

LABEL_DELAY_MS_MAX: Final = int(6.5 * DAY_MS)
"""No report comes later: merchant features wait 7 days of event time for labels, and the half
day between is what two topics may drift apart without a label coming too late."""

LIVE_SLICE_MS: Final = 250
HISTORY_SLICE_MS: Final = DAY_MS

REGULAR_SHARE_HISTORY: Final = 0.25
# Live rates are far above what the regulars of a small world make: they shop as often as before.
REGULAR_SHARE_LIVE: Final = 0.001


@dataclass(frozen=True, slots=True)
class WorldSize:
    """How large the world is and how much of it is fraud.

    Attributes:
        merchants: number of merchants.
        regulars: users who shop about daily; a quarter of history is theirs.
        crowd: users who shop now and then.
        card_testing_share: share of trips that turn out to be a card-testing burst.
        stolen_card_share: share of trips that turn out to be a stolen card's spree.
        compromised_share: share of merchants that are compromised at any one time.
    """

    merchants: int = 400
    regulars: int = 500
    crowd: int = 1_000_000
    card_testing_share: float = 0.0015
    stolen_card_share: float = 0.0015
    compromised_share: float = 0.015


class World:
    """One world that goes on: first its history, if wanted, then its live traffic.

    Args:
        seed: chooses people, places and every draw.
        currency: of all amounts, ISO 4217.
        run: prefix of all transaction ids; two runs into one system need different ones,
            since a transaction id seen before is a repeat.
        size: how large.
    """

    def __init__(
        self, *, seed: int, currency: str = "EUR", run: str, size: WorldSize | None = None
    ) -> None:
        self._size = size or WorldSize()
        self._currency = currency
        self._run = run
        self._population = Population(
            seed=seed,
            merchants=self._size.merchants,
            compromised_share=self._size.compromised_share,
        )
        self._random = np.random.default_rng(seed)
        self._shoppers = Shoppers(self._population, self._random)
        self._agenda = Agenda()
        self._labels: list[tuple[int, int, Label]] = []
        self._transactions = 0
        self._labels_made = 0

    def history(self, *, start_ms: int, end_ms: int, transactions_per_day: int) -> Iterator[Event]:
        """Past traffic with a daily rhythm, as a replay.

        Args:
            start_ms: first moment, ms since 1970 UTC.
            end_ms: first moment after.
            transactions_per_day: of the whole world, positive.

        Yields:
            Transactions and labels by due time. Labels due after the end are kept for `live`.
        """
        for begin_ms in range(start_ms, end_ms, HISTORY_SLICE_MS):
            until_ms = min(begin_ms + HISTORY_SLICE_MS, end_ms)
            count = round(transactions_per_day * (until_ms - begin_ms) / DAY_MS)
            yield from self._history_slice(begin_ms=begin_ms, until_ms=until_ms, count=count)

    def live(
        self, *, start_ms: int, rate_per_s: float, duration_ms: int | None = None
    ) -> Iterator[Event]:
        """Traffic at an exact, even rate: transaction i is due at start + i / rate.

        Args:
            start_ms: when the first transaction is due, ms since 1970 UTC.
            rate_per_s: transactions a second, positive.
            duration_ms: length; without it the traffic does not end.

        Yields:
            Transactions and labels by due time. Labels that fell due between the end of the
            history and the start come first, due at the start.
        """
        self._agenda.drop_before(start_ms)
        yield from self._due_labels(before_ms=start_ms, not_before_ms=start_ms, is_replay=False)
        total = None if duration_ms is None else round(rate_per_s * duration_ms / 1_000)
        batch = max(1, round(rate_per_s * LIVE_SLICE_MS / 1_000))
        sent = 0
        while total is None or sent < total:
            count = batch if total is None else min(batch, total - sent)
            steps = np.arange(sent, sent + count)
            slots_ms = start_ms + (steps * 1_000 / rate_per_s).astype(np.int64)
            yield from self._live_slice(slots_ms)
            sent += count

    def _history_slice(self, *, begin_ms: int, until_ms: int, count: int) -> Iterator[Event]:
        trips = round(count / self._purchases_per_trip())
        edges_ms, shares = hourly_weights(begin_ms, until_ms)
        draws = np.sort(self._random.random(trips))
        times_ms = np.interp(draws, shares, edges_ms).astype(np.int64)
        fresh = self._new_trips(times_ms, regular_share=REGULAR_SHARE_HISTORY)
        due = self._agenda.take_before(until_ms)
        yield from self._emit(joined((due, fresh)).in_time_order(), until_ms, is_replay=True)

    def _live_slice(self, slots_ms: IntArray) -> Iterator[Event]:
        """One purchase a slot: what is planned and due first, new trips for the rest."""
        until_ms = int(slots_ms[-1]) + 1
        due = self._agenda.take_before(until_ms, count_max=len(slots_ms))
        fresh = self._new_trips(slots_ms[len(due) :], regular_share=REGULAR_SHARE_LIVE)
        batch = replace(joined((due, fresh)).in_time_order(), times_ms=slots_ms)
        yield from self._emit(batch, until_ms, is_replay=False)

    def _purchases_per_trip(self) -> float:
        """Expected purchases of a trip, fraud included, so that a day has its size."""
        testing, stolen = self._size.card_testing_share, self._size.stolen_card_share
        honest = (1.0 - testing - stolen) * (1.0 + STOPS_MEAN)
        return honest + testing * CARD_TESTING_MEAN + stolen * STOLEN_CARD_MEAN

    def _new_trips(self, times_ms: IntArray, *, regular_share: float) -> Purchases:
        """First purchases of new trips; what follows from them goes to the agenda."""
        count = len(times_ms)
        crowd = self._size.regulars + self._random.integers(0, self._size.crowd, size=count)
        regulars = self._random.integers(0, self._size.regulars, size=count)
        users = np.where(self._random.random(count) < regular_share, regulars, crowd)
        fate = self._random.random(count)
        is_testing = fate < self._size.card_testing_share
        is_fraud = fate < self._size.card_testing_share + self._size.stolen_card_share
        honest = self._shoppers.trips(users, times_ms).take(~is_fraud)
        self._agenda.plan(self._shoppers.later_stops(honest))
        firsts = [honest]
        for position in np.flatnonzero(is_fraud):
            incident = self._incident(
                testing=bool(is_testing[position]),
                user=int(users[position]),
                start_ms=int(times_ms[position]),
            )
            firsts.append(incident.take(np.arange(1)))
            self._agenda.plan(incident.take(np.arange(1, len(incident))))
        return joined(firsts)

    def _incident(self, *, testing: bool, user: int, start_ms: int) -> Purchases:
        if testing:
            return self._shoppers.card_testing(user=user, start_ms=start_ms)
        return self._shoppers.stolen_card(user=user, start_ms=start_ms)

    def _emit(self, batch: Purchases, until_ms: int, *, is_replay: bool) -> Iterator[Event]:
        """Turn rows into events, with the labels that fall due between them.

        A label is due before a transaction of the same millisecond, so that a reader in
        order never meets a transaction before what was known at its time.
        """
        for row in self._transactions_of(batch):
            yield from self._due_labels(
                before_ms=row.event_time_ms + 1, not_before_ms=0, is_replay=is_replay
            )
            yield transaction_event(row, is_replay=is_replay)
        yield from self._due_labels(before_ms=until_ms, not_before_ms=0, is_replay=is_replay)

    def _transactions_of(self, batch: Purchases) -> list[Transaction]:
        """The rows with their ids, and their future labels planned."""
        delays_ms = self._report_delays_ms(len(batch))
        draws = self._random.random(len(batch)).tolist()
        columns = zip(
            batch.times_ms.tolist(),
            batch.users.tolist(),
            batch.merchants.tolist(),
            batch.amounts_minor.tolist(),
            batch.devices.tolist(),
            batch.countries.tolist(),
            batch.kinds.tolist(),
            delays_ms,
            draws,
            strict=True,
        )
        rows = []
        for time_ms, user, merchant, amount, device, country, kind, delay_ms, draw in columns:
            transaction = Transaction(
                transaction_id=f"{self._run}-{self._transactions:08d}",
                user_id=f"u-{user:07d}",
                merchant_id=f"m-{merchant:05d}",
                amount_minor=amount,
                currency=self._currency,
                event_time_ms=time_ms,
                device_type=None if device == UNKNOWN else DEVICES[device],
                ip_country=None if country == UNKNOWN else COUNTRIES[country],
            )
            self._transactions += 1
            self._plan_labels(transaction, kind=kind, delay_ms=delay_ms, draw=draw)
            rows.append(transaction)
        return rows

    def _report_delays_ms(self, count: int) -> list[int]:
        """Hours to days: log-normal, median 8 hours, at least one, within the limit."""
        hours = self._random.lognormal(np.log(8.0), 0.8, size=count)
        delays_ms = np.clip(hours * HOUR_MS, HOUR_MS, LABEL_DELAY_MS_MAX - HOUR_MS)
        result: list[int] = delays_ms.astype(np.int64).tolist()
        return result

    def _plan_labels(
        self, transaction: Transaction, *, kind: int, delay_ms: int, draw: float
    ) -> None:
        """Of fraud 99 % is reported and 1.5 % revised later; 1 % of the rest is cleared."""
        if kind != HONEST:
            if draw < 0.99:
                self._plan_label(transaction, delay_ms=delay_ms, is_fraud=True)
            if draw < 0.015:
                revised_ms = min(delay_ms + 18 * HOUR_MS, LABEL_DELAY_MS_MAX)
                self._plan_label(transaction, delay_ms=revised_ms, is_fraud=False)
        elif draw < 0.01:
            self._plan_label(transaction, delay_ms=delay_ms, is_fraud=False)

    def _plan_label(self, transaction: Transaction, *, delay_ms: int, is_fraud: bool) -> None:
        label = Label(
            transaction_id=transaction.transaction_id,
            merchant_id=transaction.merchant_id,
            event_time_ms=transaction.event_time_ms,
            observed_time_ms=transaction.event_time_ms + delay_ms,
            is_fraud=is_fraud,
        )
        self._labels_made += 1
        heapq.heappush(self._labels, (label.observed_time_ms, self._labels_made, label))

    def _due_labels(
        self, *, before_ms: int, not_before_ms: int, is_replay: bool
    ) -> Iterator[Event]:
        """Labels observed before a moment; what was missed is due at ``not_before_ms``."""
        while self._labels and self._labels[0][0] < before_ms:
            event = label_event(heapq.heappop(self._labels)[2], is_replay=is_replay)
            yield replace(event, due_ms=max(event.due_ms, not_before_ms))
