"""POST /predict: what is scored, from which history, with fakes behind the ports."""

from __future__ import annotations

import math
from typing import Any

import pytest

from features.batch import BATCH_NAMES
from features.definitions import (
    DEFINITION_DIGEST,
    FEATURE_NAMES,
    MERCHANT_FEATURES,
    USER_FEATURES,
)
from features.engine.state import UserState
from features.online import feast_values
from features.online import layout as online_store
from models.heuristic import HEURISTIC
from models.model import Scores
from scoring.core.rollouts import RolloutInUse
from tests.api_service import FixedModel, Service, assert_problem, damaged
from tests.builders import NOW_MS, transaction_object
from tests.rollout_steps import rollout


def test_an_answer_is_checked_once_when_it_is_built_and_not_again_when_it_is_written(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise AssertionError("checked a second time")

    monkeypatch.setattr("fastapi.routing.serialize_response", fail)
    assert service.predict()["score"] == 0.95
    batch = service.client.post("/predict/batch", json={"transactions": [transaction_object()]})
    assert (batch.status_code, batch.headers["content-type"]) == (200, "application/json")


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


def test_a_missing_value_in_the_vector_is_null(service: Service) -> None:
    class ModelOfMissingValues(FixedModel):
        def score(self, rows: Any) -> Scores:
            return Scores([0.5], vectors=[[1.0, math.nan]])

    service.models.model = ModelOfMissingValues()
    assert service.predict()["vector"] == [1.0, None]


def test_the_features_equal_those_that_the_stream_would_compute(service: Service) -> None:
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


def test_a_millisecond_before_the_users_newest_event_nothing_is_approximate(
    service: Service,
) -> None:
    service.remember_user("u-1", NOW_MS - 60_000, NOW_MS)
    answer = service.predict(user_id="u-1", event_time_ms=NOW_MS - 1)
    assert answer["approximate"] == []
    assert answer["features"]["user_transaction_count_5m"] == 2
    assert answer["features"]["user_merchant_distinct_5m"] == 2


def test_more_than_a_day_before_the_users_newest_event_everything_of_the_user_is_approximate(
    service: Service,
) -> None:
    service.remember_user("u-1", NOW_MS)
    answer = service.predict(user_id="u-1", event_time_ms=NOW_MS - 86_400_001)
    assert answer["approximate"] == [feature.name for feature in USER_FEATURES]


def test_equal_requests_get_equal_answers_because_nothing_is_stored(service: Service) -> None:
    service.remember_user("u-1", NOW_MS - 1_000)
    before = dict(service.reader.users)
    first, second = service.predict(), service.predict()
    assert {**first, "latency_ms": 0} == {**second, "latency_ms": 0}
    assert service.reader.users == before


def test_a_score_reads_the_store_once(service: Service) -> None:
    service.predict()
    assert service.reader.reads == 1


def test_an_event_of_the_past_is_scored_without_later_events(service: Service) -> None:
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


def test_an_unknown_user_and_merchant_have_no_history_and_the_answer_says_so(
    service: Service,
) -> None:
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


@pytest.mark.parametrize("damage", [b"", b"\xff", feast_values.bytes_value(b"\xff" * 40)])
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


def test_a_model_that_takes_batch_features_is_given_them_in_the_same_read(
    service: Service,
) -> None:
    model = FixedModel()
    model.batch_columns = BATCH_NAMES[:2]
    service.models.model = model
    service.remember_batch_features("u-1", NOW_MS - 5_000, 9)
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
        service.remember_batch_features("u-1", NOW_MS + 1 if what == "stale" else NOW_MS, 1)
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


def test_a_rollout_splits_ad_hoc_scores_by_user_as_the_stream_does(service: Service) -> None:
    of = rollout(strategy="ab", challenger_share_bp=9_999)
    in_use = RolloutInUse.of(of, {"control": None, "challenger": service.models.model})
    service.rollouts.in_use = in_use
    answer = service.predict(user_id="u-1")
    assert (answer["arm"], answer["propensity"]) == ("challenger", 0.9999)
    assert answer["rollout"] == {"id": "r-1", "revision": 1}
    service.rollouts.in_use = None
    assert service.predict(user_id="u-1")["arm"] is None
