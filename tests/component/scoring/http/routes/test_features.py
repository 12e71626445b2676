"""GET /features: the stored features of a user and a merchant, as of now."""

from __future__ import annotations

import pytest

from features.batch import BATCH_AGE_MS_MAX, BATCH_NAMES
from features.definitions import DEFINITION_DIGEST, USER_FEATURES
from scoring.http.answers.features import FeaturesAnswer
from tests.api_service import Service, assert_problem, damaged, percent_encoded
from tests.builders import NOW_MS


def test_features_are_as_of_now_not_as_of_the_last_event(service: Service) -> None:
    service.remember_user("u-1", NOW_MS - 600_000)
    response = service.client.get("/features/u-1")
    FeaturesAnswer.model_validate_json(response.content)
    answer = response.json()
    assert answer["features"]["user_transaction_count_5m"] == 0
    assert answer["features"]["user_transaction_count_1h"] == 1
    assert answer["age_ms"] == 600_000
    assert answer["as_of_ms"] == NOW_MS
    assert answer["sequence"] == 1
    assert answer["approximate"] == []
    assert answer["definition_digest"] == DEFINITION_DIGEST
    assert answer["merchant"] is None
    assert list(answer["features"]) == [feature.name for feature in USER_FEATURES]


def test_features_of_a_merchant_are_included_on_request(service: Service) -> None:
    service.remember_user("u-1", NOW_MS)
    service.remember_merchant("m-1", NOW_MS - 8 * 86_400_000)
    answer = service.client.get("/features/u-1?merchant_id=m-1").json()
    assert answer["merchant"]["merchant_id"] == "m-1"
    assert answer["merchant"]["age_ms"] == 8 * 86_400_000
    assert answer["merchant"]["features"]["merchant_transaction_count_7d_delay_7d"] == 1
    assert service.reader.reads == 1


def test_features_of_an_unknown_merchant_are_those_of_no_history(service: Service) -> None:
    service.remember_user("u-1", NOW_MS)
    response = service.client.get("/features/u-1?merchant_id=nowhere")
    FeaturesAnswer.model_validate_json(response.content)
    merchant = response.json()["merchant"]
    assert (merchant["age_ms"], merchant["sequence"]) == (None, 0)
    assert set(merchant["features"].values()) == {0}


def test_batch_features_are_included_with_their_age(service: Service) -> None:
    service.remember_batch_features("u-1", NOW_MS - 5_000, 9)
    response = service.client.get("/features/u-1")
    FeaturesAnswer.model_validate_json(response.content)
    assert response.json()["batch"] == {
        "as_of_ms": NOW_MS - 5_000,
        "age_ms": 5_000,
        "degraded": [],
        "features": dict.fromkeys(BATCH_NAMES, 9),
    }
    service.now_ms = NOW_MS - 5_000 + BATCH_AGE_MS_MAX + 1
    assert service.client.get("/features/u-1").json()["batch"] == {
        "as_of_ms": None,
        "age_ms": None,
        "degraded": ["batch_features_stale"],
        "features": dict.fromkeys(BATCH_NAMES),
    }


def test_features_of_an_unknown_user_are_not_found(service: Service) -> None:
    assert_problem(service.client.get("/features/nobody"), 404, "no history for user 'nobody'")


def test_features_without_redis_are_unavailable_for_now(service: Service) -> None:
    service.reader.is_down = True
    response = service.client.get("/features/u-1")
    assert_problem(response, 503, "the online store is down")
    assert response.headers["retry-after"] == "1"


def test_features_of_damaged_state_are_unavailable(service: Service) -> None:
    service.remember_user("u-1", NOW_MS)
    service.reader.users["u-1"] = damaged(service.reader.users["u-1"], "user", b"\xff\xff")
    response = service.client.get("/features/u-1")
    assert_problem(response, 503, "history of user 'u-1' cannot be read")
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize("user_id", ["a/b", "ü", "a b", "..", "%", "{}", "docs"])
def test_any_id_can_be_asked_for(service: Service, user_id: str) -> None:
    service.remember_user(user_id, NOW_MS)
    assert service.client.get(f"/features/{percent_encoded(user_id)}").json()["user_id"] == user_id


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/features/", "user_id"),
        ("/features/%20", "user_id"),
        ("/features/a%00b", "user_id"),
        (f"/features/{'x' * 129}", "user_id"),
        ("/features/u-1?merchant_id=", "merchant_id"),
        ("/decisions/%0a", "transaction_id"),
        (f"/decisions/{'x' * 129}", "transaction_id"),
    ],
)
def test_an_invalid_id_is_refused(service: Service, path: str, field: str) -> None:
    assert assert_problem(service.client.get(path), 422)["field"] == field
    assert service.reader.reads == 0
