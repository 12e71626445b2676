"""A seeded world of shoppers whose tastes are known, so that a ranking can be compared with truth.

A shopper likes a few categories and one price tier; which categories sell depends on the part of
the day. So the probability of every purchase is known exactly, and the best possible ranking with
it. Pure: equal sizes and seeds give equal purchases. Called by `examples.recommendation.tables` and
by the evaluation; a real shop has its own purchases instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from examples.recommendation.features import DAYPARTS

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]

TIERS: Final = 5
"""Price tiers, from cheap to dear."""
LIKED: Final = 3
"""Categories that a shopper likes."""
LIKED_WEIGHTS: Final = (0.55, 0.27, 0.13)
"""How much of the purchases of a shopper each of them has; the rest goes to all categories."""
HISTORY_DAYS: Final = 60
DAY_MS: Final = 86_400_000
TIER_PRICES_MINOR: Final = (600, 1_500, 3_500, 8_000, 20_000)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a world is.

    Attributes:
        users: shoppers.
        products: at least five for each category.
        categories: of products.
        purchases: mean of a shopper's purchases in the history; some products twice.
    """

    users: int
    products: int
    categories: int = 40
    purchases: int = 30


class Purchases(NamedTuple):
    """Purchases as columns of equal length; no shopper has a product twice."""

    user: Numbers
    product: Numbers
    daypart: Numbers
    time_ms: Numbers


class Visit(NamedTuple):
    """What some shoppers bought in one visit after the history, one row for each shopper.

    Attributes:
        user: the shoppers.
        daypart: when each of them came.
        bought: shape (users, draws): products that are not in their history; -1 for none, and for
            a product that is drawn again.
    """

    user: Numbers
    daypart: Numbers
    bought: Numbers


class World:
    """Shoppers and products; see the module.

    Attributes:
        size: how large it is.
        end_ms: end of the history, ms since 1970 UTC.
        category: of each product.
        price_minor: of each product.
    """

    def __init__(self, size: Size, *, seed: int, end_ms: int) -> None:
        """Make the tastes; purchases are drawn by `history` and `visits`."""
        if size.products < size.categories * TIERS:
            raise ValueError(
                f"products is {size.products}, must be at least {size.categories * TIERS}: "
                "each category has one in each price tier"
            )
        self.size, self.end_ms, self._seed = size, end_ms, seed
        rng = self._rng(0)
        self._make_products(rng)
        self._make_shoppers(rng)

    def history(self) -> Purchases:
        """Draw all purchases before ``end_ms``, in order of time."""
        rng = self._rng(1)
        mean = self.size.purchases
        counts = 1 + rng.poisson(rng.gamma(2.0, mean / 2, self.size.users))
        user = np.repeat(np.arange(self.size.users), counts)
        daypart = _drawn(self._dayparts[user], rng)
        product = self._products(user, daypart, rng)
        _, first = np.unique(user * self.size.products + product, return_index=True)
        time_ms = self.end_ms - rng.integers(1, HISTORY_DAYS * DAY_MS, len(first))
        at = np.argsort(time_ms, kind="stable")
        kept = first[at]
        return Purchases(user[kept], product[kept], daypart[kept], time_ms[at])

    def visits(self, users: Numbers, bought: Purchases, *, draws: int, seed: int) -> Visit:
        """Draw a visit of each of some shoppers after the history.

        Args:
            users: of whom.
            bought: the history; nothing is bought again.
            draws: how many products are drawn for each.
            seed: of the visit; another one is another visit.
        """
        rng = self._rng(2, seed)
        daypart = _drawn(self._dayparts[users], rng)
        product = np.column_stack([self._products(users, daypart, rng) for _ in range(draws)])
        owned = np.unique(bought.user * self.size.products + bought.product)
        is_old = np.isin(users[:, None] * self.size.products + product, owned)
        product[is_old] = -1
        for at in range(1, draws):
            again = (product[:, :at] == product[:, at : at + 1]).any(axis=1)
            product[again, at] = -1
        return Visit(users, daypart, product)

    def probabilities(self, users: Numbers, daypart: Numbers) -> Floats:
        """Give the probability of each product to be the next that each shopper buys.

        Returns:
            Shape (users, products); each row adds up to 1. Products of the history are included.
        """
        cells = self._categories(users, daypart)[:, :, None] * self._tiers[users][:, None, :]
        of_cell = cells.reshape(len(users), -1)
        found: Floats = of_cell[:, self._cell] * self._share_of_cell
        return found

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *stream])

    def _make_products(self, rng: np.random.Generator) -> None:
        cells = self.size.categories * TIERS
        self._cell = rng.permutation(self.size.products) % cells
        self.category = self._cell // TIERS
        tier = self._cell % TIERS
        spread = np.exp(rng.normal(0.0, 0.2, self.size.products))
        self.price_minor = np.rint(np.array(TIER_PRICES_MINOR)[tier] * spread).astype(np.int64)
        attraction = 1.0 / (1.0 + rng.permutation(self.size.products) % 50)
        totals = np.bincount(self._cell, weights=attraction, minlength=cells)
        self._share_of_cell = attraction / totals[self._cell]
        moods = np.exp(rng.normal(0.0, 0.9, (self.size.categories, len(DAYPARTS))))
        self._moods = moods / moods.mean(axis=1, keepdims=True)

    def _make_shoppers(self, rng: np.random.Generator) -> None:
        users, categories = self.size.users, self.size.categories
        appeal = 1.0 / np.arange(1, categories + 1) ** 0.7
        appeal = rng.permutation(appeal / appeal.sum())
        # The largest of noisy weights are a draw without replacement.
        keys = np.log(appeal) + rng.gumbel(size=(users, categories))
        liked = np.argsort(-keys, axis=1)[:, :LIKED]
        taste = np.tile((1.0 - sum(LIKED_WEIGHTS)) * appeal, (users, 1))
        np.put_along_axis(
            taste, liked, np.take_along_axis(taste, liked, axis=1) + LIKED_WEIGHTS, axis=1
        )
        self._taste = taste.astype(np.float32)
        tier = rng.integers(0, TIERS, users)
        near = np.exp(-1.5 * np.abs(np.arange(TIERS) - tier[:, None]))
        self._tiers = near / near.sum(axis=1, keepdims=True)
        self._dayparts = rng.dirichlet(np.full(len(DAYPARTS), 0.8), users)

    def _categories(self, users: Numbers, daypart: Numbers) -> Floats:
        """Give the probability of each category, shape (users, categories)."""
        weights = self._taste[users] * self._moods.T[daypart]
        found: Floats = weights / weights.sum(axis=1, keepdims=True)
        return found

    @cached_property
    def _by_cell(self) -> tuple[Numbers, Floats]:
        """The products in order of cells, and running totals that grow by 1 a cell."""
        order = np.argsort(self._cell, kind="stable")
        within = np.cumsum(self._share_of_cell[order])
        return order, within

    def _products(
        self, users: Numbers, daypart: Numbers, rng: np.random.Generator, *, at_once: int = 200_000
    ) -> Numbers:
        """Draw a product for each shopper, who may have it already."""
        order, within = self._by_cell
        found = np.empty(len(users), dtype=np.int64)
        for start in range(0, len(users), at_once):
            part = slice(start, start + at_once)
            category = _drawn(self._categories(users[part], daypart[part]), rng)
            cell = category * TIERS + _drawn(self._tiers[users[part]], rng)
            # Each cell owns an interval of length 1 of the running totals.
            at = np.searchsorted(within, cell + rng.random(len(cell)), side="right")
            found[part] = order[np.minimum(at, len(order) - 1)]
        return found


def _drawn(probabilities: Floats, rng: np.random.Generator) -> Numbers:
    """Draw one column for each row by its probabilities."""
    totals = np.cumsum(probabilities, axis=1)
    chance = rng.random((len(totals), 1)) * totals[:, -1:]
    return np.asarray((totals <= chance).sum(axis=1), dtype=np.int64)
