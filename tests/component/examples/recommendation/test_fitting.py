"""The ranker: equal visits give equal files, and it ranks better than the order of candidates."""

from __future__ import annotations

import numpy as np
import pytest

from examples.recommendation.candidates import find_candidates, popular_products
from examples.recommendation.features import RANKING_COLUMNS
from examples.recommendation.files import NightFiles
from examples.recommendation.fitting import fit_ranker, impressions, ranked_top
from examples.recommendation.profiles import product_profiles, shopper_profiles
from examples.recommendation.recall import known_top, popular_top, recall_at_top
from examples.recommendation.tables import Catalogue, Interactions, Visits
from examples.recommendation.training import judge
from examples.recommendation.world import Size, World
from models.artifact.load import load_model
from models.artifact.trees import Trees

SIZE = Size(users=1_200, products=300, categories=6, purchases=15)
SHOPPERS = np.arange(0, SIZE.users, 2)


class Shop:
    """A world with its night, in memory."""

    def __init__(self) -> None:
        self.world = World(SIZE, seed=11, end_ms=1_790_000_000_000)
        history = self.world.history()
        users = [f"s-{number}" for number in range(SIZE.users)]
        self.bought = Interactions(users, history.user, history.product, history.daypart)
        self.catalogue = Catalogue(
            np.arange(SIZE.products), self.world.category, self.world.price_minor
        )
        self.visits, self.later = (
            Visits(*self.world.visits(SHOPPERS, history, draws=8, seed=seed)) for seed in (1, 2)
        )
        parts = list(find_candidates(self.bought, products=SIZE.products, threads=1))
        self.night = NightFiles(
            [users[number] for number in SHOPPERS],
            shopper_profiles(self.bought, self.catalogue)[SHOPPERS],
            self.catalogue.products,
            product_profiles(self.bought, self.catalogue),
            np.vstack([part.product for part in parts])[SHOPPERS],
            np.vstack([part.score for part in parts]).astype(float)[SHOPPERS],
        )


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


def test_ranked_is_better_than_found_than_popular_and_none_better_than_the_tastes(
    shop: Shop,
) -> None:
    ranker = fit_ranker(shop.visits, shop.night, seed=1)
    model = load_model(
        ranker.files,
        name="recommendation",
        version="1",
        trees_digest=ranker.files.trees_digest,
        columns=RANKING_COLUMNS,
    )
    shown = impressions(shop.later, shop.night)
    count = len(SHOPPERS)
    popular = popular_products(shop.bought, products=SIZE.products, count=100)
    of_popular, found, ranked, known = (
        recall_at_top(top, shop.later).mean()
        for top in (
            popular_top(popular, shop.bought, shop.later),
            ranked_top(None, shown, count),
            ranked_top(model.trees, shown, count),
            known_top(shop.world, shop.bought, shop.later),
        )
    )
    print(f"popular {of_popular:.4f}, found {found:.4f}, ranked {ranked:.4f}, known {known:.4f}")
    assert of_popular < found < ranked < known


def test_equal_visits_and_seeds_give_equal_files(shop: Shop) -> None:
    few = Visits(*(column[:100] for column in shop.visits))
    night = shop.night._replace(
        shoppers=shop.night.shoppers[:100],
        candidate=shop.night.candidate[:100],
        score=shop.night.score[:100],
    )
    first, second = (fit_ranker(few, night, seed=4, jobs=jobs).files for jobs in (1, 2))
    assert first == second


def test_visits_in_which_nothing_was_bought_are_refused(shop: Shop) -> None:
    none = shop.visits._replace(bought=np.full_like(shop.visits.bought, -1))
    with pytest.raises(ValueError, match=r"0 of .* candidates were bought"):
        fit_ranker(none, shop.night, seed=1)


def test_a_row_is_bought_if_its_candidate_was(shop: Shop) -> None:
    shown = impressions(shop.visits, shop.night)
    owned = {
        (visit, product)
        for visit, row in enumerate(shop.visits.bought.tolist())
        for product in row
        if product >= 0
    }
    wanted = [
        (visit, candidate) in owned
        for visit, candidate in zip(shown.visit.tolist(), shown.candidate.tolist(), strict=True)
    ]
    assert shown.is_bought.tolist() == wanted
    assert shown.vectors.shape == (len(wanted), len(RANKING_COLUMNS))


def test_the_top_of_each_visit_is_in_the_order_of_the_scores(shop: Shop) -> None:
    class ByPlace(Trees):
        def __init__(self) -> None:
            self.columns = len(RANKING_COLUMNS)

        def scores(self, vectors):  # type: ignore[no-untyped-def]
            return vectors[:, RANKING_COLUMNS.index("candidate_place")]

    shown = impressions(shop.later, shop.night)
    top = ranked_top(ByPlace(), shown, len(SHOPPERS))
    last = [row[row >= 0][::-1][:10].tolist() for row in shop.night.candidate]
    assert top.tolist() == last


@pytest.mark.parametrize(("gain", "promotes"), [(0.0, False), (0.05, True), (-0.05, False)])
def test_a_version_must_be_better_by_more_than_noise(gain: float, promotes: bool) -> None:
    rng = np.random.default_rng(1)
    others = rng.random(400) / 2
    mine = others + gain + rng.normal(0, 0.1, 400) * (gain != 0)
    verdict = judge(mine, others, other="champion version 3")
    assert verdict.promotes == promotes
    assert "champion version 3 has" in verdict.reason
