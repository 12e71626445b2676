"""The seeded world: the same for a seed, and its purchases follow its tastes."""

import numpy as np
import pytest

from examples.recommendation.world import Size, World

SIZE = Size(users=600, products=400, categories=8, purchases=12)
END_MS = 1_790_000_000_000


@pytest.fixture(scope="module")
def world() -> World:
    return World(SIZE, seed=3, end_ms=END_MS)


def test_equal_seeds_give_equal_purchases_and_others_do_not(world: World) -> None:
    again, other = (World(SIZE, seed=seed, end_ms=END_MS).history() for seed in (3, 4))
    bought = world.history()
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(bought, again, strict=True))
    assert not np.array_equal(bought.product[:100], other.product[:100])


def test_no_shopper_has_a_product_twice_and_all_are_before_the_end(world: World) -> None:
    bought = world.history()
    pairs = set(zip(bought.user.tolist(), bought.product.tolist(), strict=True))
    assert len(pairs) == len(bought.user)
    assert bought.time_ms.max() < END_MS
    assert (np.diff(bought.time_ms) >= 0).all()


def test_probabilities_add_up_to_one(world: World) -> None:
    users = np.arange(50)
    probabilities = world.probabilities(users, users % 4)
    assert probabilities.shape == (50, SIZE.products)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(50))


def test_a_shopper_buys_as_often_as_the_probabilities_say(world: World) -> None:
    """A wrong category, tier or part of the day would show in the mean probability."""
    users = np.full(20_000, 7)
    nothing = world.history()._replace(user=np.array([0]), product=np.array([0]))
    visit = world.visits(users, nothing, draws=1, seed=1)
    is_new = visit.bought[:, 0] >= 0
    drawn = np.bincount(visit.bought[is_new, 0], minlength=SIZE.products) / len(users)
    by_daypart = world.probabilities(users[:4], np.arange(4))
    shares = np.bincount(visit.daypart, minlength=4) / len(users)
    wanted = shares @ by_daypart
    assert np.abs(drawn - wanted).max() < 0.015


def test_a_visit_has_nothing_that_was_bought_before_and_nothing_twice(world: World) -> None:
    bought = world.history()
    owned = set(zip(bought.user.tolist(), bought.product.tolist(), strict=True))
    users = np.arange(0, 600, 3)
    visit = world.visits(users, bought, draws=6, seed=2)
    for user, row in zip(users.tolist(), visit.bought.tolist(), strict=True):
        new = [product for product in row if product >= 0]
        assert len(new) == len(set(new))
        assert not owned & {(user, product) for product in new}


def test_a_category_needs_a_product_in_each_tier() -> None:
    with pytest.raises(ValueError, match="products is 39, must be at least 40"):
        World(Size(users=1, products=39, categories=8), seed=1, end_ms=END_MS)
    World(Size(users=1, products=40, categories=8), seed=1, end_ms=END_MS)
