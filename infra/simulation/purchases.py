"""Purchases as columns, and how they are made: honest trips and three kinds of fraud.

A batch of purchases is a set of numpy columns, so making thousands costs as much as making one.
Knows the population and a random generator; no clock, no Kafka, no names of the wire.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infra.simulation.population import COUNTRIES, DAY_MS, DEVICES, IntArray, Population

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000

UNKNOWN: Final = -1
"""Device or country of a purchase in a shop, where they are not known."""

HONEST, CARD_TESTING, STOLEN_CARD, COMPROMISED_MERCHANT = 0, 1, 2, 3

COMPROMISED_FRAUD_SHARE: Final = 0.35
"""Share of a compromised merchant's purchases that are fraud; only its history shows them."""

_STOPS_SHARES: Final = (0.72, 0.20, 0.08)
STOPS_MEAN: Final = 0.20 + 2 * 0.08
_CARD_TESTING_COUNT: Final = (8, 26)
CARD_TESTING_MEAN: Final = (8 + 25) / 2
_STOLEN_CARD_COUNT: Final = (5, 16)
STOLEN_CARD_MEAN: Final = (5 + 15) / 2


@dataclass(frozen=True, slots=True)
class Purchases:
    """Columns of equal length.

    Attributes:
        times_ms: time of each purchase, ms since 1970 UTC.
        users: user numbers.
        merchants: merchant numbers.
        amounts_minor: minor units, at least 1.
        devices: index into `DEVICES`, or `UNKNOWN`.
        countries: index into `COUNTRIES`, or `UNKNOWN`.
        kinds: `HONEST`, or the kind of fraud.
    """

    times_ms: IntArray
    users: IntArray
    merchants: IntArray
    amounts_minor: IntArray
    devices: IntArray
    countries: IntArray
    kinds: IntArray

    def __len__(self) -> int:
        return len(self.times_ms)

    def take(self, chosen: IntArray | NDArray[np.bool_]) -> "Purchases":
        """The rows chosen by position or by mask."""
        return Purchases(*(getattr(self, column.name)[chosen] for column in fields(self)))

    def in_time_order(self) -> "Purchases":
        """The same rows in order of time; equal times keep their order."""
        return self.take(np.argsort(self.times_ms, kind="stable"))


def joined(batches: Sequence[Purchases]) -> Purchases:
    """All rows of all batches, in order; at least one batch is needed."""
    columns = (column.name for column in fields(Purchases))
    return Purchases(*(np.concatenate([getattr(b, name) for b in batches]) for name in columns))


def nothing() -> Purchases:
    """No purchases."""
    return Purchases(*(np.empty(0, dtype=np.int64) for _ in fields(Purchases)))


@dataclass(frozen=True, slots=True)
class Shoppers:
    """Makes purchases of a population.

    Attributes:
        population: its traits decide amounts, merchants and devices.
        random: the source of all draws; owned by the caller, advanced by each call.
    """

    population: Population
    random: np.random.Generator

    def trips(self, users: IntArray, times_ms: IntArray) -> Purchases:
        """The first purchase of each user's trip: usual merchants, usual amounts, own device."""
        count = len(users)
        merchants = self.population.home_merchant(users, self._choices(count))
        elsewhere = self.random.random(count) < 0.15
        merchants = np.where(elsewhere, self._any_merchant(count), merchants)
        return self._honest(users=users, merchants=merchants, times_ms=times_ms)

    def later_stops(self, first: Purchases) -> Purchases:
        """Further purchases of the same trips: none for most, else one or two within the hour."""
        stops = self.random.choice(3, size=len(first), p=_STOPS_SHARES)
        of = np.repeat(np.arange(len(first)), stops)
        gaps_ms = self.random.exponential(12 * MINUTE_MS, size=len(of)).astype(np.int64) + 1_000
        # A trip of two later stops: the second gap counts from the first stop.
        is_second = np.concatenate(([False], of[1:] == of[:-1])) if len(of) else np.empty(0, bool)
        gaps_ms = gaps_ms + np.where(is_second, np.roll(gaps_ms, 1), 0)
        users = first.users[of]
        merchants = self.population.home_merchant(users, self._choices(len(of)))
        return self._honest(users=users, merchants=merchants, times_ms=first.times_ms[of] + gaps_ms)

    def card_testing(self, *, user: int, start_ms: int) -> Purchases:
        """Card testing: small amounts, seconds apart, at one or two remote merchants."""
        count = int(self.random.integers(*_CARD_TESTING_COUNT))
        gaps_ms = self.random.exponential(5_000, size=count).astype(np.int64) + 500
        places = self._remote_merchants(2)
        return self._fraud(
            CARD_TESTING,
            user=user,
            times_ms=start_ms + np.cumsum(gaps_ms) - gaps_ms[0],
            merchants=places[self.random.integers(0, 2, size=count)],
            amounts_minor=self.random.integers(50, 500, size=count),
        )

    def stolen_card(self, *, user: int, start_ms: int) -> Purchases:
        """A stolen card: many merchants new to the user, amounts far above the user's usual one."""
        count = int(self.random.integers(*_STOLEN_CARD_COUNT))
        gaps_ms = self.random.exponential(25_000, size=count).astype(np.int64) + 4_000
        usual_minor = float(self.population.usual_amount_minor(np.asarray([user]))[0])
        factor = self.random.uniform(3.0, 10.0, size=count)
        return self._fraud(
            STOLEN_CARD,
            user=user,
            times_ms=start_ms + np.cumsum(gaps_ms) - gaps_ms[0],
            merchants=self._remote_merchants(count),
            amounts_minor=(usual_minor * factor).astype(np.int64) + 1,
        )

    def _honest(self, *, users: IntArray, merchants: IntArray, times_ms: IntArray) -> Purchases:
        """Purchases by the card's owner; at a compromised merchant some of them are fraud."""
        count = len(users)
        amounts = self.population.usual_amount_minor(users) * self.random.lognormal(
            0.0, 0.5, size=count
        )
        amounts = amounts * self.population.price_factor(merchants)
        remote = self.population.is_remote(merchants)
        leaked = self.population.is_compromised(merchants, times_ms)
        leaked &= self.random.random(count) < COMPROMISED_FRAUD_SHARE
        return Purchases(
            times_ms=times_ms,
            users=users,
            merchants=merchants,
            amounts_minor=np.maximum(amounts, 1.0).astype(np.int64),
            devices=np.where(remote, self.population.device(users), UNKNOWN),
            countries=np.where(remote, self.population.home_country(users), UNKNOWN),
            kinds=np.where(leaked, COMPROMISED_MERCHANT, HONEST),
        )

    def _fraud(
        self, kind: int, *, user: int, times_ms: IntArray, merchants: IntArray,
        amounts_minor: IntArray,
    ) -> Purchases:  # fmt: skip
        """Purchases by a thief, all with the same random device and country."""
        count = len(times_ms)
        return Purchases(
            times_ms=times_ms,
            users=np.full(count, user, dtype=np.int64),
            merchants=merchants,
            amounts_minor=amounts_minor,
            devices=np.full(count, self.random.integers(0, len(DEVICES)), dtype=np.int64),
            countries=np.full(count, self.random.integers(0, len(COUNTRIES)), dtype=np.int64),
            kinds=np.full(count, kind, dtype=np.int64),
        )

    def _choices(self, count: int) -> IntArray:
        return np.minimum(self.random.geometric(0.35, size=count), 12)

    def _any_merchant(self, count: int) -> IntArray:
        return self.random.integers(0, self.population.merchants, size=count)

    def _remote_merchants(self, count: int) -> IntArray:
        """Merchants that sell over the network; may repeat."""
        drawn = self._any_merchant(count * 8 + 64)
        remote = drawn[self.population.is_remote(drawn)]
        # 35 % of merchants are remote, so 64 draws find none in one of 10^12 worlds.
        return np.resize(remote, count)


def hourly_weights(start_ms: int, end_ms: int) -> tuple[IntArray, NDArray[np.float64]]:
    """Shares of traffic by the daily rhythm: little at night, most in the afternoon.

    Args:
        start_ms: begin, ms since 1970 UTC.
        end_ms: end, after the begin, ms since 1970 UTC.

    Returns:
        Edges of the hours in ms, and the cumulative share of traffic at each edge, 0 to 1.
    """
    edges_ms = np.unique(
        np.concatenate(
            (
                np.asarray([start_ms, end_ms], dtype=np.int64),
                np.arange(start_ms - start_ms % HOUR_MS + HOUR_MS, end_ms, HOUR_MS),
            )
        )
    )
    hour = (edges_ms[:-1] % DAY_MS) // HOUR_MS
    # The least traffic is at 04:00, a seventh of that at 16:00, the maximum.
    weight = (1.0 + 0.75 * np.cos((hour - 16) / 24.0 * 2.0 * np.pi)) * np.diff(edges_ms)
    cumulative = np.concatenate(([0.0], np.cumsum(weight)))
    return edges_ms, cumulative / cumulative[-1]
