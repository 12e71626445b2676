"""The routes of the API, with fakes behind the ports. No network, no process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from features.batch import BATCH_AGE_MS_MAX, BATCH_NAMES, BATCH_VIEW
from features.definitions import (
    DEFINITION_DIGEST,
    FEATURE_NAMES,
    MERCHANT_FEATURES,
    USER_FEATURES,
)
from features.engine.state import UserState
from features.online import layout as online_store
from models.heuristic import HEURISTIC
from models.model import Scores
from schemas.output_codec import encode_decision
from scoring.http import app as api
from scoring.http import contract
from scoring.http.app import BODY_BYTES_MAX
from tests.api_service import FixedModel, Service, damaged, percent_encoded
from tests.builders import DECISION, NOW_MS, transaction_object, without


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    with service.client:
        yield service


def assert_problem(response: Any, status: int, *said: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = contract.Problem.model_validate_json(response.content)
    assert problem.status == status
    for text in said:
        assert text in problem.detail
    return problem.model_dump()


# --- POST /predict ---------------------------------------------------------------------


def test_a_known_user_is_scored_with_the_history_and_the_event(service: Service) -> None:
    service.remember_user("u-1", NOW_MS - 120_000, NOW_MS - 60_000)
    service.remember_merchant("m-1", NOW_MS - 8 * 86_400_000)
    answer = service.predict(user_id="u-1", merchant_id="m-1", amount_minor=500)
    assert list(answer["features"]) == list(FEATURE_NAMES)
    assert answer["features"]["user_transaction_count_5m"] == 3
    assert answer["features"]["user_amount_sum_5m"] == 2_500
    assert answer["features"]["merchant_transaction_count_7d_delay_7d"] == 1
    assert answer["decision"] == "BLOCK"
    assert answer["score"] == 0.95
    assert answer["model"] == {"name": "weir-fraud", "version": "7", "digest": "00112233aabbccdd"}
    assert answer["model_version"] == "7"
    assert answer["degraded"] == []
    assert answer["feature_age_ms"] == {
        "user": 60_000,
        "merchant": 8 * 86_400_000,
        "batch": None,
    }
    assert answer["definition_digest"] == DEFINITION_DIGEST


def test_the_features_are_those_that_the_stream_would_compute(service: Service) -> None:
    times_ms = [NOW_MS - 40 * 86_400_000, NOW_MS - 3_600_000, NOW_MS - 1]
    service.remember_user("u-1", *times_ms)
    answer = service.predict(transaction_id="next", user_id="u-1", amount_minor=77)
    in_stream = UserState()
    for number, event_time_ms in enumerate(times_ms):
        in_stream.fold(
            transaction_id=f"u-1-{number}",
            merchant_id=f"m-{number}",
            amount_minor=1_000,
            event_time_ms=event_time_ms,
        )
    values = in_stream.fold(
        transaction_id="next", merchant_id="m-1", amount_minor=77, event_time_ms=NOW_MS
    )
    assert {name: answer["features"][name] for name in values.features} == values.features


def test_asking_twice_gives_the_same_since_nothing_is_stored(service: Service) -> None:
    service.remember_user("u-1", NOW_MS - 1_000)
    before = dict(service.reader.users)
    first, second = service.predict(), service.predict()
    assert {**first, "latency_ms": 0} == {**second, "latency_ms": 0}
    assert service.reader.users == before


def test_one_read_of_the_store_a_score(service: Service) -> None:
    service.predict()
    assert service.reader.reads == 1


def test_an_event_of_the_past_sees_nothing_of_its_future(service: Service) -> None:
    service.remember_user("u-1", NOW_MS - 7_200_000, NOW_MS - 60_000)
    answer = service.predict(event_time_ms=NOW_MS - 3_600_000)
    assert answer["features"]["user_transaction_count_1d"] == 2
    assert answer["event_time_ms"] == NOW_MS - 3_600_000


def test_id_and_time_are_filled_in_when_left_out_or_null(service: Service) -> None:
    bare = {"user_id": "u", "merchant_id": "m", "amount_minor": 1, "currency": "EUR"}
    for body in (bare, {**bare, "transaction_id": None, "event_time_ms": None}):
        answer = service.client.post("/predict", json=body).json()
        assert answer["transaction_id"].startswith("adhoc-")
        assert answer["event_time_ms"] == NOW_MS
    again = service.client.post("/predict", json=bare).json()
    assert again["transaction_id"] != answer["transaction_id"]


def test_an_unknown_user_and_merchant_have_no_history_and_that_is_said(service: Service) -> None:
    answer = service.predict(user_id="new", merchant_id="shop")
    assert answer["features"]["user_transaction_count_30d"] == 1
    assert answer["features"]["merchant_fraud_rate_30d_delay_7d"] == 0
    assert answer["degraded"] == []
    assert answer["approximate"] == []
    assert answer["feature_age_ms"] == {"user": None, "merchant": None, "batch": None}
    assert "no history for user 'new'" in answer["reasons"]
    assert "no history for merchant 'shop'" in answer["reasons"]


def test_without_redis_the_model_scores_the_event_alone_and_says_so(service: Service) -> None:
    service.remember_user("u-1", NOW_MS - 60_000)
    service.reader.is_down = True
    answer = service.predict(user_id="u-1")
    assert answer["degraded"] == ["online_store_unavailable"]
    assert answer["model_version"] == "7"
    assert answer["features"]["user_transaction_count_5m"] == 1
    assert answer["feature_age_ms"] == {"user": None, "merchant": None, "batch": None}
    stored_names = [feature.name for feature in (*USER_FEATURES, *MERCHANT_FEATURES)]
    assert answer["approximate"] == stored_names
    assert "no history for user 'u-1'" not in answer["reasons"]


def test_without_a_model_the_heuristic_decides_and_says_so(service: Service) -> None:
    service.models.model = HEURISTIC
    answer = service.predict()
    assert answer["degraded"] == ["no_model"]
    assert answer["model"]["name"] == "heuristic"


def test_without_redis_and_model_there_is_still_an_answer(service: Service) -> None:
    service.reader.is_down = True
    service.models.model = HEURISTIC
    assert service.predict()["degraded"] == ["online_store_unavailable", "no_model"]


@pytest.mark.parametrize(
    ("score", "decision"),
    [(0.5, "APPROVE"), (0.500001, "REVIEW"), (0.9, "REVIEW"), (0.900001, "BLOCK")],
)
def test_the_thresholds_are_those_of_the_stream(
    service: Service, score: float, decision: str
) -> None:
    service.models.model = FixedModel(score)
    assert service.predict()["decision"] == decision


def test_state_of_other_definitions_is_not_used(service: Service) -> None:
    service.remember_user("u-1", NOW_MS - 60_000)
    digest = {online_store.digest_field("user_velocity"): b"ffffffffffffffff"}
    service.reader.users["u-1"] = {**service.reader.users["u-1"], **digest}
    answer = service.predict(user_id="u-1")
    assert answer["degraded"] == ["online_state_unreadable"]
    assert answer["features"]["user_transaction_count_5m"] == 1
    assert "user_transaction_count_5m" in answer["approximate"]
    assert "merchant_fraud_rate_1d_delay_7d" not in answer["approximate"]


@pytest.mark.parametrize("damage", [b"", b"\xff", online_store.bytes_value(b"\xff" * 40)])
def test_damaged_state_is_not_used(service: Service, damage: bytes) -> None:
    service.remember_merchant("m-1", NOW_MS - 60_000)
    service.reader.merchants["m-1"] = damaged(service.reader.merchants["m-1"], "merchant", damage)
    answer = service.predict(merchant_id="m-1")
    assert answer["degraded"] == ["online_state_unreadable"]
    assert_problem(service.client.get("/features/nobody?merchant_id=m-1"), 404)


@pytest.mark.parametrize(("age_ms", "is_said"), [(3_600_000, False), (3_600_001, True)])
def test_old_history_is_named_in_the_reasons(service: Service, age_ms: int, is_said: bool) -> None:
    service.remember_user("u-1", NOW_MS - age_ms)
    reasons = service.predict(user_id="u-1")["reasons"]
    text = f"history of user 'u-1' is {age_ms} ms old, above staleness_ms_max=3600000"
    assert (text in reasons) is is_said


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (b"", None, "is empty"),
        (b"{", None, "is not JSON"),
        (b"[]", None, "must be a JSON object"),
        (b"\xff\xfe", None, "is not UTF-8"),
        (b'{"amount_minor": NaN}', None, "NaN"),
        (b'{"user_id": "a", "user_id": "b"}', None, "twice"),
        (b"[" * 1_000, None, "nested deeper"),
    ],
)
def test_a_body_that_is_no_transaction_is_refused_as_on_the_stream(
    service: Service, body: bytes, field: str | None, said: str
) -> None:
    problem = assert_problem(service.client.post("/predict", content=body), 422, said)
    assert problem["field"] == field


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amount_minor": -1}, "amount_minor is -1, limit 0"),
        ({"amount_minor": 10**12 + 1}, "amount_minor_max=1000000000000"),
        ({"amount_minor": "12"}, "amount_minor is '12', must be a JSON integer"),
        ({"currency": "USD"}, "settles in EUR only"),
        ({"user_id": ""}, "user_id is blank"),
        ({"user_id": "\ud800"}, "lone surrogate"),
        ({"event_time_ms": NOW_MS + 300_001}, "event_ahead_ms_max=300000"),
        ({"ip_country": "Germany"}, "ip_country is 'Germany'"),
    ],
)
def test_a_wrong_field_is_refused_with_its_name_value_and_limit(
    service: Service, changes: dict[str, Any], said: str
) -> None:
    body = json.dumps(transaction_object(**changes)).encode()
    problem = assert_problem(service.client.post("/predict", content=body), 422, said)
    assert problem["field"] == next(iter(changes))
    assert service.reader.reads == 0


def test_a_missing_field_is_named(service: Service) -> None:
    body = without(transaction_object(), "merchant_id")
    problem = assert_problem(service.client.post("/predict", json=body), 422, "is missing")
    assert problem["field"] == "merchant_id"


@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 413)])
def test_a_body_may_have_so_many_bytes_and_no_more(
    service: Service, extra: int, status: int
) -> None:
    body = json.dumps(transaction_object()).encode()
    body += b" " * (BODY_BYTES_MAX - len(body) + extra)
    response = service.client.post("/predict", content=body)
    assert response.status_code == status
    if status == 413:
        assert_problem(response, 413, "over 65536 bytes")


def test_a_body_that_never_ends_is_given_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "BODY_TIMEOUT_S", 0.01)

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    response = service.client.post("/predict", content=endless())
    assert_problem(response, 408, "not complete in 0.01 s")
    assert response.headers["connection"] == "close"


# --- GET /features ---------------------------------------------------------------------


def test_features_are_as_of_now_not_as_of_the_last_event(service: Service) -> None:
    service.remember_user("u-1", NOW_MS - 600_000)
    response = service.client.get("/features/u-1")
    contract.FeaturesAnswer.model_validate_json(response.content)
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


def test_features_of_a_merchant_come_along_when_asked_for(service: Service) -> None:
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
    contract.FeaturesAnswer.model_validate_json(response.content)
    merchant = response.json()["merchant"]
    assert (merchant["age_ms"], merchant["sequence"]) == (None, 0)
    assert set(merchant["features"].values()) == {0}


# --- batch features --------------------------------------------------------------------


def remember_habits(service: Service, user_id: str, snapshot_ms: int, count: int) -> None:
    service.remember_user(user_id, NOW_MS - 60_000)
    service.reader.users[user_id] = {
        **service.reader.users[user_id],
        online_store.timestamp_field(BATCH_VIEW): online_store.timestamp_value(snapshot_ms),
        **{
            online_store.field_name(BATCH_VIEW, name): online_store.int64_value(count)
            for name in BATCH_NAMES
        },
    }


def test_a_model_that_takes_batch_features_is_given_them_in_the_same_read(
    service: Service,
) -> None:
    model = FixedModel()
    model.batch_columns = BATCH_NAMES[:2]
    service.models.model = model
    remember_habits(service, "u-1", NOW_MS - 5_000, 9)
    answer = service.predict(user_id="u-1")
    assert {name: answer["features"].get(name) for name in BATCH_NAMES} == {
        **dict.fromkeys(BATCH_NAMES),
        BATCH_NAMES[0]: 9,
        BATCH_NAMES[1]: 9,
    }
    assert list(model.rows[-1].features)[-2:] == list(BATCH_NAMES[:2])
    assert (answer["batch_as_of_ms"], answer["feature_age_ms"]["batch"]) == (NOW_MS - 5_000, 5_000)
    assert answer["degraded"] == []
    assert service.reader.reads == 1


@pytest.mark.parametrize("what", ["nothing", "stale", "damaged", "down"])
def test_without_batch_features_there_is_an_answer_that_says_so(
    service: Service, what: str
) -> None:
    model = FixedModel()
    model.batch_columns = BATCH_NAMES
    service.models.model = model
    if what == "nothing":
        service.remember_user("u-1", NOW_MS - 60_000)
    else:
        remember_habits(service, "u-1", NOW_MS + 1 if what == "stale" else NOW_MS, 1)
    if what == "damaged":
        service.reader.complete = b"junk"
    service.reader.is_down = what == "down"
    answer = service.predict(user_id="u-1")
    assert (
        answer["degraded"]
        == {
            "nothing": ["batch_features_missing"],
            "stale": ["batch_features_stale"],
            "damaged": ["batch_features_unreadable"],
            "down": ["online_store_unavailable", "batch_features_unavailable"],
        }[what]
    )
    assert {name: answer["features"][name] for name in BATCH_NAMES} == dict.fromkeys(BATCH_NAMES)
    assert answer["batch_as_of_ms"] is None


def test_features_show_those_of_the_day_with_their_age(service: Service) -> None:
    remember_habits(service, "u-1", NOW_MS - 5_000, 9)
    response = service.client.get("/features/u-1")
    contract.FeaturesAnswer.model_validate_json(response.content)
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
def test_an_id_that_cannot_be_one_is_refused(service: Service, path: str, field: str) -> None:
    assert assert_problem(service.client.get(path), 422)["field"] == field
    assert service.reader.reads == 0


# --- GET /decisions --------------------------------------------------------------------


def test_a_first_decision_is_given_as_it_was_emitted(service: Service) -> None:
    emitted = encode_decision(DECISION)
    service.reader.decisions["t-1"] = emitted
    response = service.client.get("/decisions/t-1")
    assert (response.status_code, response.content) == (200, emitted)
    assert response.headers["content-type"] == "application/json"


def test_a_transaction_without_a_decision_is_not_found(service: Service) -> None:
    assert_problem(service.client.get("/decisions/t-9"), 404, "no decision about transaction 't-9'")


def test_decisions_without_redis_are_unavailable_for_now(service: Service) -> None:
    service.reader.is_down = True
    response = service.client.get("/decisions/t-1")
    assert_problem(response, 503)
    assert response.headers["retry-after"] == "1"


# --- how it is -------------------------------------------------------------------------


def test_ready_with_redis_and_a_model(service: Service) -> None:
    response = service.client.get("/ready")
    assert response.status_code == 200
    answer = contract.ReadyAnswer.model_validate_json(response.content)
    assert (answer.ready, answer.reasons) == (True, [])
    assert answer.model.model.version == "7"


def test_not_ready_without_redis(service: Service) -> None:
    service.reader.is_down = True
    response = service.client.get("/ready")
    assert response.status_code == 503
    answer = contract.ReadyAnswer.model_validate_json(response.content)
    assert answer.redis.reachable is False
    assert answer.model.loaded is True
    assert answer.reasons == ["the online store is down, says the test"]


def test_not_ready_without_a_model_and_refused_versions_are_named(service: Service) -> None:
    service.models.model = HEURISTIC
    service.models.refused = {"8": "GoldenRowsMismatchError: row 3"}
    response = service.client.get("/ready")
    assert response.status_code == 503
    answer = contract.ReadyAnswer.model_validate_json(response.content)
    assert answer.model.loaded is False
    assert answer.model.refused == {"8": "GoldenRowsMismatchError: row 3"}
    assert answer.reasons == ["no model is loaded: the heuristic decides"]


def test_alive_whatever_else_is_down(service: Service) -> None:
    service.reader.is_down = True
    service.models.model = HEURISTIC
    response = service.client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "live"})


def test_requests_are_counted_by_route_and_status_not_by_address(service: Service) -> None:
    service.predict()
    service.client.get("/features/nobody")
    service.client.get("/features/somebody")
    service.client.get("/no/such/route")
    count = service.registry.get_sample_value
    features = "/features/{user_id:path}"
    assert count("api_requests_total", {"route": "/predict", "status": "200"}) == 1
    assert count("api_requests_total", {"route": features, "status": "404"}) == 2
    assert count("api_requests_total", {"route": "none", "status": "404"}) == 1
    assert count("api_request_seconds_count", {"route": features}) == 2


def test_degraded_scores_are_counted_by_what_is_missing(service: Service) -> None:
    service.reader.is_down = True
    service.predict()
    text = service.client.get("/metrics").text
    assert 'api_degraded_total{missing="online_store_unavailable"} 1.0' in text


def test_an_unknown_route_and_a_wrong_method_are_problems(service: Service) -> None:
    assert_problem(service.client.get("/nothing"), 404)
    response = service.client.get("/predict")
    assert_problem(response, 405)
    assert response.headers["allow"] == "POST"


@pytest.mark.expects_error_log("POST /predict failed")
def test_a_bug_is_a_500_that_tells_nothing_of_the_inside(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenModel(FixedModel):
        def score(self, rows: Any) -> Scores:
            raise ZeroDivisionError("secret inside")

    service.models.model = BrokenModel()
    response = service.client.post("/predict", json=transaction_object())
    problem = assert_problem(response, 500)
    assert "secret" not in str(problem)
    assert "secret inside" in caplog.text
    count = service.registry.get_sample_value
    assert count("api_requests_total", {"route": "/predict", "status": "500"}) == 1


# --- pages and reference ---------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_pages_ask_nobody_else_for_anything(service: Service, path: str) -> None:
    response = service.client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "://" not in response.text
    assert "__" not in response.text


def test_the_page_fills_in_the_currency_of_the_deployment(service: Service) -> None:
    assert 'value="EUR"' in service.client.get("/").text
