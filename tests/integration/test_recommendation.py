"""The recommendation on a real Redis and MLflow: night, training, ranking, and what fails.

One shop for all tests of the file, in order: each leaves the shop as the next one needs it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import redis
from feast import FeatureStore

from examples.recommendation import popular_file
from examples.recommendation.candidates import Candidates
from examples.recommendation.comparison import compare_online
from examples.recommendation.evaluation import evaluate
from examples.recommendation.features import PRODUCT_FEATURES, PRODUCT_VIEW, SHOPPER_FEATURES
from examples.recommendation.files import read_night
from examples.recommendation.publish import (
    LIFETIME_JITTER_S,
    LIFETIME_S,
    Night,
    NightTakenOverError,
)
from examples.recommendation.reader import decode_reply, eval_arguments
from examples.recommendation.stored import (
    BUCKETS,
    CURRENT_KEY,
    WRITING_KEY,
    bucket_key,
    bucket_of,
)
from examples.recommendation.tables import read_tables
from examples.recommendation.world_tables import user_id
from features.online.feast_values import int64_value
from features.online.layout import field_name, integer_key_parts
from tests.recommendation_shop import Shop
from tests.services import Services, unique_name
from training.datasets.feature_store import feast_on

# MLflow warns of type hints of its own when it writes a model; Feast of many things.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Any type hint is inferred:UserWarning",
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)

SOME = [user_id(number) for number in range(40)]


@pytest.fixture(scope="module")
def shop(
    redis_server: Services, mlflow_server: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """A shop with one complete night and a champion."""
    shop = Shop.opened(
        redis_server, mlflow_server.mlflow_uri, tmp_path_factory.mktemp("recommendation")
    )
    shop.night()
    trained = shop.train()
    assert trained.is_champion, trained.verdict.reason
    yield shop
    shop.client.flushdb()


def version_of(shop: Shop) -> str:
    version = shop.client.hget(CURRENT_KEY, "version")
    assert isinstance(version, bytes)
    return version.decode()


def buckets_of(shop: Shop, version: str) -> int:
    """How many hashes of a version there are."""
    return int(shop.client.exists(*(bucket_key(version, number) for number in range(BUCKETS))))


def test_the_api_ranks_better_than_what_it_ranks_and_worse_than_the_known_tastes(
    shop: Shop,
) -> None:
    with shop.api() as api:
        found = evaluate(shop.directory, api.rank)
    print("\n".join(found.lines()))
    popular, candidates, ranked, known = found.recall.values()
    assert popular < candidates < ranked < known
    assert found.sources == {"candidates": found.visits}
    assert found.degraded == {}


def test_redis_holds_what_the_night_published(shop: Shop) -> None:
    compared = compare_online(shop.settings, shop.directory, SOME)
    assert compared.shoppers == len(SOME)
    assert compared.values > len(SOME) * 100 * len(PRODUCT_FEATURES)
    assert (compared.different, compared.first) == (0, "")


def test_the_script_reads_what_an_ordinary_feast_client_reads(shop: Shop) -> None:
    store: FeatureStore = feast_on(
        shop.settings, registry=shop.settings.data_dir / "feast" / "registry.db"
    )
    found = decode_reply(
        shop.client.eval(*eval_arguments(SOME[0], shop.settings.feast_project))  # type: ignore[arg-type]
    )
    assert found.candidates is not None
    ids = found.candidates.product_id.tolist()[:5]
    answer = store.get_online_features(
        features=[f"{PRODUCT_VIEW}:{name}" for name in PRODUCT_FEATURES],
        entity_rows=[{"product_id": product_id} for product_id in ids],
    ).to_dict()
    wanted = np.column_stack([answer[name] for name in PRODUCT_FEATURES])
    assert np.array_equal(found.products[:5], wanted)
    of_shopper = store.get_online_features(
        features=[f"shopper_profile:{name}" for name in SHOPPER_FEATURES],
        entity_rows=[{"user_id": SOME[0]}],
    ).to_dict()
    assert found.shopper.tolist() == [of_shopper[name][0] for name in SHOPPER_FEATURES]


def test_candidates_expire_a_day_later_and_not_all_at_once(shop: Shop) -> None:
    version = version_of(shop)
    lifetimes_s = [
        lifetime_s
        for number in range(BUCKETS)
        if (lifetime_s := shop.client.ttl(bucket_key(version, number))) != -2
    ]
    assert min(lifetimes_s) > LIFETIME_S - 300
    assert max(lifetimes_s) <= LIFETIME_S + LIFETIME_JITTER_S
    assert len(set(lifetimes_s)) > len(lifetimes_s) / 2


def test_a_complete_night_takes_the_place_of_the_one_before(shop: Shop) -> None:
    before = version_of(shop)
    report = shop.night()
    assert report.before == before
    assert version_of(shop) == report.written.version != before
    assert buckets_of(shop, before) == 0
    assert not shop.client.exists(WRITING_KEY)


def test_a_night_that_is_killed_leaves_the_candidates_of_the_one_before(shop: Shop) -> None:
    before = version_of(shop)
    shop.client.persist(bucket_key(before, bucket_of(SOME[0])))
    killed = Night(shop.client, "killed", shop.now_ms)
    killed.begin()
    bought, catalogue = read_tables(shop.directory)
    night = read_night(shop.directory, bought.users)
    part = Candidates(np.arange(300), night.candidate[:300], night.score[:300].astype(np.float32))
    killed.write(bought.users, catalogue.products, [part])
    assert buckets_of(shop, "killed") > 0
    with shop.api() as api:
        answer = api.rank(SOME[0])
    assert answer["source"] == "candidates"
    assert answer["candidates"]["version"] == before
    # It had begun, so the candidates in use live for another day.
    assert shop.client.ttl(bucket_key(before, bucket_of(SOME[0]))) > LIFETIME_S - 300
    report = shop.night()
    assert (report.before, buckets_of(shop, "killed")) == (before, 0)


def test_of_two_nights_at_once_the_later_one_is_used(shop: Shop) -> None:
    before = version_of(shop)
    earlier = Night(shop.client, "earlier", shop.now_ms)
    earlier.begin()
    later = Night(shop.client, "later", shop.now_ms)
    later.begin()
    file = popular_file.path(shop.settings.data_dir)
    with pytest.raises(NightTakenOverError, match="earlier is not used"):
        earlier.finish(np.array([1, 2]), file)
    assert version_of(shop) == before
    assert later.finish(np.array([1, 2]), file) == before
    assert version_of(shop) == "later"
    shop.night()


def test_a_better_version_is_needed_to_take_the_champions_place(shop: Shop) -> None:
    again = shop.train()
    assert not again.is_champion
    assert "not better by more than noise" in again.verdict.reason
    assert "champion version 1 has" in again.verdict.reason


def test_the_recommendation_example(shop: Shop) -> None:
    """The gate: one stored value is not what the version was fitted on."""
    other = replace(shop, definition=replace(shop.definition, name=unique_name("recommendation")))
    with redis.Redis.from_url(shop.settings.redis_url) as client:
        before, after = integer_key_parts("product_id", shop.settings.feast_project)
        field = field_name(PRODUCT_VIEW, "product_purchases_60d")
        client.hset(before + struct.pack("<q", 0) + after, field, int64_value(1_000_000))
    refused = other.train()
    assert not refused.is_champion
    assert "stored values differ, first 1 of 7 features of candidates" in refused.verdict.reason
    other.night()
    shop.now_ms = other.now_ms
    promoted = other.train()
    assert promoted.is_champion, promoted.verdict.reason


def test_a_shopper_without_candidates_gets_popular_products(shop: Shop) -> None:
    with shop.api() as api:
        answer = api.rank("a stranger", "evening")
    popular = popular_file.read(popular_file.path(shop.settings.data_dir))
    assert answer["source"] == "popular"
    assert [item["product_id"] for item in answer["items"]] == popular[:10]
    assert {item["score"] for item in answer["items"]} == {None}
    assert answer["degraded"] == ["shopper_without_candidates"]
    assert answer["model"] is None


def test_an_unknown_part_of_the_day_is_flagged_and_a_wrong_one_refused(shop: Shop) -> None:
    with shop.api() as api:
        answer = api.rank(SOME[0], "brunch")
        assert (answer["source"], answer["degraded"]) == ("candidates", ["daypart_unknown"])
        assert api.rank(SOME[0])["degraded"] == []
        for body, detail in (
            ({"user_id": SOME[0], "daypart": 7}, "daypart is 7, must be a string or null"),
            ({"daypart": "night"}, "user_id is null, must be a string"),
            ({"user_id": ""}, "user_id"),
            ([], "must be a JSON object, is a list"),
        ):
            response = api.post(body)
            assert response.status_code == 422
            assert detail in response.json()["detail"]


def test_without_a_model_candidates_are_in_the_order_in_which_they_were_found(shop: Shop) -> None:
    unserved = replace(shop, definition=replace(shop.definition, name=unique_name("nothing")))
    with unserved.api() as api:
        answer = api.rank(SOME[3], "evening")
    assert answer["degraded"] == ["no_model"]
    assert answer["model"] is None
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 10


def test_an_emptied_redis_costs_no_answer(shop: Shop) -> None:
    with shop.api() as api:
        assert api.rank(SOME[0])["source"] == "candidates"
        shop.client.flushdb()
        answer = api.rank(SOME[0])
        popular = [item["product_id"] for item in answer["items"]]
        assert (answer["source"], answer["degraded"]) == ("popular", ["candidates_missing"])
        assert len(popular) == 10
    with shop.api() as started_later:
        answer = started_later.rank(SOME[0])
        assert [item["product_id"] for item in answer["items"]] == popular
    shop.night()
    with shop.api() as api:
        assert api.rank(SOME[0])["degraded"] == []


def test_without_redis_there_are_popular_products(shop: Shop) -> None:
    gone = shop.settings.model_copy(
        update={"redis_url": "redis://127.0.0.1:1/0", "redis_timeout_ms": 200}
    )
    with replace(shop, settings=gone).api() as api:
        answer = api.rank(SOME[0])
    assert (answer["source"], answer["degraded"]) == ("popular", ["online_store_unavailable"])
    assert len(answer["items"]) == 10


def test_a_request_without_time_gets_popular_products(shop: Shop) -> None:
    with shop.api() as api:
        answer = api.post({"user_id": SOME[0]}, deadline_ms=1).json()
        assert (answer["source"], answer["degraded"]) == ("popular", ["online_store_unavailable"])
        assert api.rank(SOME[0])["source"] == "candidates"


def test_where_there_was_never_a_night_the_answer_says_so(shop: Shop) -> None:
    empty = shop.settings.model_copy(update={"data_dir": shop.settings.data_dir / "empty"})
    empty = empty.model_copy(update={"redis_url": f"{shop.settings.redis_url[:-1]}9"})
    with replace(shop, settings=empty).api() as api:
        answer = api.rank(SOME[0])
    assert (answer["source"], answer["items"]) == ("none", [])
    assert answer["degraded"] == ["candidates_missing", "popular_missing"]


def test_damaged_candidates_are_flagged(shop: Shop) -> None:
    client: redis.Redis = shop.client
    client.hset(bucket_key(version_of(shop), bucket_of(SOME[1])), SOME[1], b"1234567")
    with shop.api() as api:
        answer = api.rank(SOME[1])
    assert (answer["source"], answer["degraded"]) == ("popular", ["candidates_unreadable"])
