"""A ranking always has an answer, and says what it rests on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from examples.recommendation import ranking
from examples.recommendation.features import (
    DAYPARTS,
    PRODUCT_FEATURES,
    RANKING_COLUMNS,
    SHOPPER_FEATURES,
    ranking_columns,
)
from examples.recommendation.ranking import popular, rank
from examples.recommendation.reader import Found, decode_reply
from examples.recommendation.stored import (
    StoredBytesError,
    StoredCandidates,
    candidates_value,
    popular_value,
)
from features.online.feast_values import double_value, int64_value, timestamp_value
from models.artifact.load import LoadedModel
from models.encoding.vector import VectorSpec
from schemas.decision import ModelRef

NOW_MS = 1_790_000_000_000
REF = ModelRef(name="recommendation", version="3", digest="00112233aabbccdd")


class FixedTrees:
    """Gives the vectors scores by one of their columns."""

    columns = len(RANKING_COLUMNS)

    def __init__(self, column: str) -> None:
        self._at = RANKING_COLUMNS.index(column)
        self.vectors = np.zeros((0, 0))

    def scores(self, vectors: Any) -> Any:
        self.vectors = vectors
        return np.nan_to_num(vectors[:, self._at], nan=-1.0)


def model_by(column: str) -> tuple[LoadedModel, FixedTrees]:
    trees = FixedTrees(column)
    spec = VectorSpec(RANKING_COLUMNS, {})
    return LoadedModel(trees=trees, spec=spec, ref=REF), trees  # type: ignore[arg-type]


def found(count: int = 12, **changes: Any) -> Found:
    """Candidates 100, 101, … with falling scores; each is dearer than the one before it."""
    products = np.tile([1.0, 0.0, 5.0, 0.1, 0.2, 0.3, 0.4], (count, 1))
    products[:, 1] = 100.0 * (1 + np.arange(count))
    given = Found(
        version="v1",
        built_at_ms=NOW_MS - 1_000,
        popular=list(range(20)),
        candidates=StoredCandidates(
            np.arange(100, 100 + count, dtype=np.uint32),
            np.linspace(1, 0.5, count, dtype=np.float32),
        ),
        shopper=np.array([9.0, 200.0, 1.0, 2.0, 3.0, 0.5, 0.3, 0.1]),
        shopper_at_ms=NOW_MS - 2_000,
        products=products,
    )
    return given._replace(**changes)


def test_the_first_ten_by_the_model_are_the_answer() -> None:
    model, _ = model_by("product_price_minor")
    ranked = rank(found(), daypart="evening", model=model, now_ms=NOW_MS)
    assert ranked is not None
    assert ranked.product_ids == list(range(111, 101, -1))
    assert ranked.scores == [100.0 * place for place in range(12, 2, -1)]
    assert (ranked.source, ranked.degraded) == ("candidates", ())


def test_the_order_of_the_candidates_decides_between_equal_scores() -> None:
    model, _ = model_by("product_purchases_60d")
    ranked = rank(found(), daypart=None, model=model, now_ms=NOW_MS)
    assert ranked is not None
    assert ranked.product_ids == list(range(100, 110))


def test_without_a_model_the_candidates_are_in_their_own_order_and_it_is_said() -> None:
    ranked = rank(found(), daypart="evening", model=None, now_ms=NOW_MS)
    assert ranked is not None
    assert ranked.product_ids == list(range(100, 110))
    assert ranked.degraded == ("no_model",)


@pytest.mark.parametrize("candidates", [None, StoredCandidates(*np.zeros((2, 0)))])
def test_without_candidates_there_is_nothing_to_rank(candidates: Any) -> None:
    assert rank(found(candidates=candidates), daypart=None, model=None, now_ms=NOW_MS) is None


@pytest.mark.parametrize(
    ("daypart", "flagged"), [("brunch", True), ("", True), (None, False), ("night", False)]
)
def test_an_unknown_part_of_the_day_is_ranked_without_it_and_flagged(
    daypart: str | None, flagged: bool
) -> None:
    model, trees = model_by("candidate_score")
    ranked = rank(found(), daypart=daypart, model=model, now_ms=NOW_MS)
    assert ranked is not None
    assert (ranking.DAYPART_UNKNOWN in ranked.degraded) == flagged
    share = trees.vectors[:, RANKING_COLUMNS.index("daypart_share")]
    assert np.isnan(share).all() == (daypart not in DAYPARTS)


@pytest.mark.parametrize(("age_ms", "is_stale"), [(0, False), (1, True)])
def test_candidates_of_an_older_night_are_used_and_flagged(age_ms: int, is_stale: bool) -> None:
    built_at_ms = NOW_MS - ranking.STALE_MS - age_ms
    given = found(built_at_ms=built_at_ms, shopper_at_ms=built_at_ms)
    ranked = rank(given, daypart=None, model=None, now_ms=NOW_MS)
    assert ranked is not None
    assert (ranking.CANDIDATES_STALE in ranked.degraded) == is_stale


def test_missing_features_are_flagged_and_the_rest_ranks() -> None:
    model, _ = model_by("product_price_minor")
    products = found().products
    products[3, :] = np.nan
    ranked = rank(found(products=products), daypart=None, model=model, now_ms=NOW_MS)
    assert ranked is not None
    assert ranked.degraded == ("product_features_missing",)
    assert 103 not in ranked.product_ids
    nothing = np.full(len(SHOPPER_FEATURES), np.nan)
    ranked = rank(found(shopper=nothing), daypart=None, model=model, now_ms=NOW_MS)
    assert ranked is not None
    assert ranked.degraded == ("shopper_features_missing",)
    old = found(shopper_at_ms=NOW_MS - 1_001 - ranking.STALE_MS)
    ranked = rank(old, daypart=None, model=model, now_ms=NOW_MS)
    assert ranked is not None
    assert ranked.degraded == ("shopper_features_stale",)


def test_popular_products_are_flagged_with_the_reason() -> None:
    assert popular(range(12), ["candidates_missing"]) == (
        "popular",
        list(range(10)),
        None,
        ("candidates_missing",),
    )
    assert popular([], ["candidates_missing"]) == (
        "none",
        [],
        None,
        ("candidates_missing", "popular_missing"),
    )


def test_the_columns_of_a_ranking_are_those_of_the_model() -> None:
    shopper = np.array([[9.0, 200.0, 1.0, 2.0, 3.0, 0.5, 0.3, 0.1]] * 2)
    products = np.array([[2.0, 400.0, 5.0, 0.1, 0.2, 0.3, 0.4], [7.0, 100.0, 0.0, 1, 0, 0, 0]])
    vectors = ranking_columns(
        shopper, products, np.array([0.9, 0.8]), np.array([0.0, 1.0]), np.array([3, -1])
    )
    assert vectors.shape == (2, len(RANKING_COLUMNS))
    assert vectors[0].tolist() == [0.9, 0.0, 5.0, 400.0, 2.0, 0.3, 0.4, 9.0, 0.5]
    second = vectors[1].tolist()
    assert np.isnan(second[6])
    assert second[:6] == [0.8, 1.0, 0.0, 100.0, 0.5, 0.0]


# --- what Redis gives ------------------------------------------------------------------


def reply(candidates: bytes | None, products: list[bytes | None]) -> list[Any]:
    shopper = [
        int64_value(3),
        double_value(1.5),
        *[int64_value(1)] * 3,
        *[double_value(0.2)] * 3,
        timestamp_value(NOW_MS),
    ]
    return [[b"v1", b"7", popular_value([4, 5])], shopper, candidates, products]


def test_a_reply_is_decoded_with_nothing_made_up() -> None:
    product = [int64_value(1), None, int64_value(3), b"damaged", *[double_value(0.25)] * 3]
    given = decode_reply(reply(candidates_value(np.array([8]), np.array([0.5])), product))
    assert (given.version, given.built_at_ms, given.popular) == ("v1", 7, [4, 5])
    assert given.candidates is not None
    assert given.candidates.product_id.tolist() == [8]
    assert given.shopper.tolist() == [3.0, 1.5, 1.0, 1.0, 1.0, 0.2, 0.2, 0.2]
    assert given.shopper_at_ms == NOW_MS
    assert given.products.shape == (1, len(PRODUCT_FEATURES))
    assert np.isnan(given.products[0]).tolist() == [False, True, False, True, *[False] * 3]


def test_an_empty_redis_is_decoded_as_nothing() -> None:
    empty = [[None] * 3, [None] * (len(SHOPPER_FEATURES) + 1), None, []]
    given = decode_reply(empty)
    assert (given.version, given.popular, given.candidates) == (None, [], None)
    assert np.isnan(given.shopper).all()
    assert given.products.shape == (0, len(PRODUCT_FEATURES))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"1234567", "7 bytes, must be a multiple of 8"),
        (candidates_value(np.array([1]), np.array([np.nan])), "is no number"),
    ],
)
def test_damaged_candidates_are_refused(value: bytes, message: str) -> None:
    with pytest.raises(StoredBytesError, match=message):
        decode_reply(reply(value, []))
