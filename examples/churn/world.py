"""A seeded world of shoppers, some of whom stop buying: the data of the example.

A shopper buys at a rate of their own and stays for a time of their own. In the last weeks before
they leave they buy less often, and smaller baskets, so that leaving can be foreseen, but not
exactly. Equal seeds and times give equal transactions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from features.definitions import DAY_MS
from infra.simulation.event import Event, transaction_event
from schemas.transaction import Transaction

SEED: Final = 20_261_130
STAY_DAYS_MEAN: Final = 80.0
FADE_DAYS: Final = 21
"""How long before leaving a shopper buys less."""
MERCHANTS: Final = 40


@dataclass(frozen=True, slots=True)
class World:
    """What the world looks like.

    Attributes:
        shoppers: how many there are over the whole time.
        days: of history; the label needs 30 of them after a row, and the newest rows judge.
        end_ms: midnight UTC at which the history ends, ms since 1970.
        currency: of every transaction.
        seed: equal seeds give equal worlds.
    """

    shoppers: int
    days: int
    end_ms: int
    currency: str
    seed: int = SEED

    @property
    def first_ms(self) -> int:
        """When the history begins, ms since 1970 UTC."""
        return self.end_ms - self.days * DAY_MS

    def transactions(self) -> list[Transaction]:
        """Give all transactions in the order of their times."""
        rng = np.random.default_rng(self.seed)
        rows = [row for number in range(self.shoppers) for row in self._of_shopper(number, rng)]
        return [
            Transaction(
                transaction_id=f"{user_id}-{time_ms}",
                user_id=user_id,
                merchant_id=f"churn-{self.seed}-m{merchant}",
                amount_minor=amount,
                currency=self.currency,
                event_time_ms=time_ms,
            )
            for time_ms, user_id, merchant, amount in sorted(rows)
        ]

    def events(self) -> Iterator[Event]:
        """Give the transactions as records of a replay, in the order of their times."""
        for transaction in self.transactions():
            yield transaction_event(transaction, is_replay=True)

    def _of_shopper(
        self, number: int, rng: np.random.Generator
    ) -> Iterator[tuple[int, str, int, int]]:
        user_id = f"churn-{self.seed}-{number:05d}"
        # A third is there from the beginning, the others come over the whole time.
        begin = 0.0 if number % 3 == 0 else rng.uniform(0, self.days)
        leaves = begin + FADE_DAYS / 2 + rng.exponential(STAY_DAYS_MEAN)
        a_day = rng.gamma(2.0, 0.12)
        basket = rng.lognormal(7.5, 0.5)
        for day in range(int(begin), min(self.days, int(leaves))):
            share = min(1.0, (leaves - day) / FADE_DAYS)
            for _ in range(rng.poisson(a_day * (0.25 + 0.75 * share))):
                time_ms = self.first_ms + day * DAY_MS + int(rng.integers(0, DAY_MS))
                amount = max(1, int(basket * (0.6 + 0.4 * share) * rng.lognormal(0, 0.4)))
                yield time_ms, user_id, int(rng.integers(0, MERCHANTS)), amount
