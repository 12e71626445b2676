"""Candidates: new to their shopper, the best first, the same for both ways to find them."""

import numpy as np
import pytest

from examples.recommendation.candidates import (
    Candidates,
    Method,
    find_candidates,
    popular_products,
)
from examples.recommendation.recall import popular_top, recall_at_top
from examples.recommendation.tables import Interactions, Visits
from examples.recommendation.world import Size, World

SIZE = Size(users=1_000, products=400, categories=16, purchases=15)


def interactions(world: World) -> Interactions:
    bought = world.history()
    users = [f"s-{number}" for number in range(world.size.users)]
    return Interactions(users, bought.user, bought.product, bought.daypart)


@pytest.fixture(scope="module")
def world() -> World:
    return World(SIZE, seed=5, end_ms=1_790_000_000_000)


@pytest.fixture(scope="module")
def bought(world: World) -> Interactions:
    return interactions(world)


def found(bought: Interactions, method: Method, count: int = 30) -> Candidates:
    parts = list(
        find_candidates(bought, products=SIZE.products, method=method, count=count, threads=1)
    )
    return Candidates(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@pytest.mark.parametrize("method", ["als", "bm25"])
def test_candidates_are_new_and_the_best_first(bought: Interactions, method: Method) -> None:
    candidates = found(bought, method)
    assert candidates.user.tolist() == list(range(SIZE.users))
    is_found = candidates.product >= 0
    assert is_found.any(axis=1).all()
    owned = set(zip(bought.user.tolist(), bought.product.tolist(), strict=True))
    shown = {
        (int(user), int(candidates.product[user, place]))
        for user, place in zip(*np.nonzero(is_found), strict=True)
    }
    assert not owned & shown
    scores = np.where(is_found, candidates.score, -np.inf)
    assert (np.diff(scores, axis=1)[is_found[:, 1:]] <= 0).all()


@pytest.mark.parametrize("method", ["als", "bm25"])
def test_they_are_found_again_in_a_second_run(bought: Interactions, method: Method) -> None:
    first, second = found(bought, method), found(bought, method)
    assert np.array_equal(first.product, second.product)


@pytest.mark.parametrize("method", ["als", "bm25"])
def test_they_hold_more_of_what_is_bought_next_than_popular_products(
    world: World, bought: Interactions, method: Method
) -> None:
    visit = world.visits(np.arange(SIZE.users), world.history(), draws=8, seed=9)
    visits = Visits(*visit)
    popular = popular_products(bought, products=SIZE.products, count=100)
    of_popular = recall_at_top(popular_top(popular, bought, visits), visits).mean()
    mine = recall_at_top(found(bought, method).product, visits).mean()
    assert mine > 1.3 * of_popular


def test_there_are_no_more_candidates_than_products_that_are_new(bought: Interactions) -> None:
    few = Interactions(["a", "b"], np.array([0, 0, 1]), np.array([0, 1, 2]), np.array([-1] * 3))
    parts = list(find_candidates(few, products=3, threads=1))
    assert len(parts) == 1
    assert not {0, 1} & set(parts[0].product[0].tolist())


def test_popular_products_are_in_the_order_of_their_purchases() -> None:
    bought = Interactions(["a"], np.zeros(6, int), np.array([2, 1, 2, 0, 1, 2]), np.zeros(6, int))
    assert popular_products(bought, products=4, count=3).tolist() == [2, 1, 0]
