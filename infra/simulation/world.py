"""The generator: a seeded world of payments and the fraud reports that follow, in time order.

Pure: the same seed and the same calls give the same bytes. `World.history` makes past days with a
daily rhythm, `World.live` makes traffic at an exact rate; both continue the same world. Knows no
clock and no Kafka; `pump.py` and `replay.py` send the events.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from infra.simulation.agenda import Agenda
from infra.simulation.event import Event, transaction_event
from infra.simulation.fraud_reports import FraudReports
from infra.simulation.population import COUNTRIES, DAY_MS, DEVICES, IntArray, Population
from infra.simulation.purchases import (
    CARD_TESTING_MEAN,
    STOLEN_CARD_MEAN,
    STOPS_MEAN,
    UNKNOWN,
    Purchases,
    Shoppers,
    hourly_weights,
    joined,
)
from schemas.transaction import Transaction

LIVE_SLICE_MS: Final = 250
HISTORY_SLICE_MS: Final = DAY_MS

REGULAR_SHARE_HISTORY: Final = 0.25
# Live rates are far above what the regular users of a small world do, who shop as before.
REGULAR_SHARE_LIVE: Final = 0.001


@dataclass(frozen=True, slots=True)
class WorldSize:
    """The size of the world and its share of fraud.

    Attributes:
        merchants: number of merchants.
        regulars: number of users who shop about daily; they make a quarter of the history.
        crowd: number of users who shop rarely.
        card_testing_share: share of trips that are a burst of card testing.
        stolen_card_share: share of trips that are purchases with a stolen card.
        compromised_share: share of merchants that are compromised at any time.
    """

    merchants: int = 400
    regulars: int = 500
    crowd: int = 1_000_000
    card_testing_share: float = 0.0015
    stolen_card_share: float = 0.0015
    compromised_share: float = 0.015


class World:
    """One world: first its history, if wanted, then its live traffic.

    Args:
        seed: decides users, merchants and every draw.
        currency: currency of all amounts, ISO 4217.
        run: prefix of all transaction ids; two runs into one system need different prefixes,
            because a transaction id that was seen before is a repeat.
        size: size of the world.
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
        self._reports = FraudReports(self._random)
        self._transactions = 0

    def history(self, *, start_ms: int, end_ms: int, transactions_per_day: int) -> Iterator[Event]:
        """Past traffic with a daily rhythm, as a replay.

        Args:
            start_ms: begin, inclusive, ms since 1970 UTC.
            end_ms: end, exclusive, ms since 1970 UTC.
            transactions_per_day: transactions of the whole world, positive.

        Yields:
            Transactions and labels in order of due time. Labels due after the end are kept for
            `live`.
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
            duration_ms: length of the traffic, ms; None for traffic without an end.

        Yields:
            Transactions and labels in order of due time. Labels that were due between the end of
            the history and the start come first, due at the start.
        """
        self._agenda.drop_before(start_ms)
        yield from self._reports.take_due(
            before_ms=start_ms, not_before_ms=start_ms, is_replay=False
        )
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
        """One purchase for each slot: planned purchases that are due first, then new trips."""
        until_ms = int(slots_ms[-1]) + 1
        due = self._agenda.take_before(until_ms, count_max=len(slots_ms))
        fresh = self._new_trips(slots_ms[len(due) :], regular_share=REGULAR_SHARE_LIVE)
        batch = replace(joined((due, fresh)).in_time_order(), times_ms=slots_ms)
        yield from self._emit(batch, until_ms, is_replay=False)

    def _purchases_per_trip(self) -> float:
        """Expected number of purchases of a trip, including fraud."""
        testing, stolen = self._size.card_testing_share, self._size.stolen_card_share
        honest = (1.0 - testing - stolen) * (1.0 + STOPS_MEAN)
        return honest + testing * CARD_TESTING_MEAN + stolen * STOLEN_CARD_MEAN

    def _new_trips(self, times_ms: IntArray, *, regular_share: float) -> Purchases:
        """First purchases of new trips; their later purchases go to the agenda."""
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
        """Turn rows into events, with the labels that become due between them.

        A label comes before a transaction of the same millisecond, so that a reader in order has
        read all that was known at the time of the transaction.
        """
        for row in self._transactions_of(batch):
            yield from self._reports.take_due(
                before_ms=row.event_time_ms + 1, not_before_ms=0, is_replay=is_replay
            )
            yield transaction_event(row, is_replay=is_replay)
        yield from self._reports.take_due(before_ms=until_ms, not_before_ms=0, is_replay=is_replay)

    def _transactions_of(self, batch: Purchases) -> list[Transaction]:
        """The transactions of the rows, with ids; plans their labels."""
        delays_ms = self._reports.draw_delays_ms(len(batch))
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
            self._reports.plan(transaction, kind=kind, delay_ms=delay_ms, draw=draw)
            rows.append(transaction)
        return rows
