"""GET /models and POST /models/{name}/predict: models beside that of transactions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from features.batch import ACTIVITY, BATCH_AGE_MS_MAX
from features.definitions import DAY_MS, HOUR_MS
from features.online.layout import digest_field, field_name
from features.online.user_inputs import UserInputLayout
from models.catalogue import transaction_model
from models.no_champion import NoChampion
from schemas.settings import Settings
from scoring.core.last_good import LastGoodModel
from scoring.core.served_model import ServedModel
from scoring.http.answers.models import ModelsAnswer
from scoring.http.answers.user_predict import UserBatchPredictAnswer, UserPredictAnswer
from tests.api_service import FixedModels, Service, assert_problem
from tests.builders import NOW_MS, transaction_object
from tests.stored_users import StoredUsers
from tests.user_model import LEAVES, leaves_model

MIDNIGHT_MS = NOW_MS // DAY_MS * DAY_MS
RANKS = replace(LEAVES, name="ranks", columns=("product_price",), routes="examples.ranks:ROUTES")
VELOCITY = {"user_transaction_count_7d": 3, "user_amount_mean_7d": None}
ACTIVE = dict(zip(ACTIVITY.names, (4, 1_000, 250.0), strict=True))


@pytest.fixture
def models(service: Service) -> FixedModels:
    return FixedModels(leaves_model())


@pytest.fixture
def users(service: Service, models: FixedModels) -> StoredUsers:
    """An active user and an idle one, of a model with a champion."""
    first = transaction_model(Settings())
    service.definitions.update({each.name: each for each in (first, LEAVES, RANKS)})
    service.served_models |= {
        each.name: ServedModel(
            each,
            UserInputLayout(each.columns, each.batch_view, "weir"),
            models,
            lambda: models.refused,
        )
        for each in (LEAVES, RANKS)
    }
    stored = service.user_inputs
    for user_id, days in (("active", 1), ("idle", 25)):
        stored.remember(user_id, VELOCITY, event_time_ms=MIDNIGHT_MS - days * DAY_MS + HOUR_MS)
    stored.materialize("active", ACTIVE, snapshot_ms=MIDNIGHT_MS)
    stored.complete_ms = MIDNIGHT_MS
    return stored


def predict(service: Service, body: Any, name: str = "leaves") -> Any:
    return service.client.post(f"/models/{name}/predict", json=body)


def test_a_user_is_scored_by_what_the_store_has(service: Service, users: StoredUsers) -> None:
    response = predict(service, {"user_id": "active"})
    answer = UserPredictAnswer.model_validate_json(response.content)
    assert list(answer.features) == list(LEAVES.columns)
    assert answer.features == {"user_days_idle": 1, **VELOCITY, **ACTIVE}
    assert (answer.batch_as_of_ms, answer.as_of_ms) == (MIDNIGHT_MS, NOW_MS)
    assert answer.event_time_ms == MIDNIGHT_MS - 23 * HOUR_MS
    assert (answer.model.name, answer.model_version) == ("leaves", "4")
    vector = [[float("nan") if v is None else float(v) for v in answer.features.values()]]
    assert answer.score == leaves_model().trees.scores(vector)[0]
    assert answer.decision == "STAYS"
    assert users.reads == 1


def test_a_user_who_is_in_no_snapshot_has_the_batch_features_of_no_history(
    service: Service, users: StoredUsers
) -> None:
    answer = predict(service, {"user_id": "idle"}).json()
    assert [answer["features"][name] for name in ACTIVITY.names] == [0, 0, None]
    assert (answer["features"]["user_days_idle"], answer["decision"]) == (25, "LEAVES")


def test_many_users_are_scored_by_one_read_and_the_unknown_get_a_problem(
    service: Service, users: StoredUsers
) -> None:
    body = {"user_ids": ["idle", "nobody", "active", "idle"]}
    response = service.client.post("/models/leaves/predict/batch", json=body)
    answer = UserBatchPredictAnswer.model_validate_json(response.content)
    assert (answer.refused, users.reads) == (1, 1)
    for one, user_id in zip(response.json()["answers"], body["user_ids"], strict=True):
        single = predict(service, {"user_id": user_id}).json()
        for each in (one, single):
            each.pop("latency_ms", None)
        assert {name: one[name] for name in single} == single


def test_the_model_of_transactions_takes_transactions(service: Service, users: StoredUsers) -> None:
    answer = predict(service, transaction_object(), "weir-fraud").json()
    assert answer["decision"] == "BLOCK"
    many = service.client.post(
        "/models/weir-fraud/predict/batch", json={"transactions": [transaction_object()]}
    )
    assert many.json()["answers"][0]["score"] == answer["score"]


@pytest.mark.parametrize(
    ("name", "body", "status", "detail"),
    [
        ("leave", {"user_id": "active"}, 404, "no model 'leave'; known are weir-fraud, leaves"),
        ("ranks", {"user_id": "active"}, 404, "routes of its own"),
        ("leaves", {"user_id": "nobody"}, 404, "no history for user 'nobody'"),
        ("leaves", {}, 422, "user_id is null, must be a string"),
        ("leaves", {"user_id": " "}, 422, "user_id is blank"),
        ("leaves/predict", {"user_ids": []}, 404, "Not Found"),
    ],
)
def test_what_cannot_be_answered_says_why(
    request: pytest.FixtureRequest, name: str, body: Any, status: int, detail: str
) -> None:
    service = request.getfixturevalue("service")
    request.getfixturevalue("users")
    assert detail in assert_problem(predict(service, body, name), status)["detail"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"user_ids": []}, "has 0 entries"),
        ({"user_ids": "u"}, "must be a list"),
        ({"user_ids": ["u", 3]}, r"user_ids[1] is 3, must be a string"),
    ],
)
def test_a_batch_that_names_no_users_is_refused(
    service: Service, users: StoredUsers, body: Any, detail: str
) -> None:
    response = service.client.post("/models/leaves/predict/batch", json=body)
    assert detail in assert_problem(response, 422)["detail"]


def test_without_a_champion_there_is_no_score_and_a_refusal_is_named(
    service: Service, users: StoredUsers, models: FixedModels
) -> None:
    models.model = NoChampion("leaves")
    detail = assert_problem(predict(service, {"user_id": "active"}), 503)["detail"]
    assert detail == "model leaves has no champion; `weir train --model leaves` makes one"
    models.refused = {"3": "SignatureMismatchError: other columns"}
    detail = assert_problem(predict(service, {"user_id": "active"}), 503)["detail"]
    assert "(refused: version 3: SignatureMismatchError: other columns)" in detail


def test_a_score_by_the_last_good_version_says_so(
    service: Service, users: StoredUsers, models: FixedModels
) -> None:
    assert predict(service, {"user_id": "active"}).json()["degraded"] == []
    models.model = LastGoodModel(leaves_model("3"))
    answer = predict(service, {"user_id": "active"}).json()
    assert (answer["model_version"], answer["degraded"]) == ("3", ["champion_unavailable"])
    assert service.client.get("/models").json()["models"][1]["champion"]["version"] == "3"


def test_features_that_are_not_there_are_named_with_what_writes_them(
    service: Service, users: StoredUsers
) -> None:
    view = "user_velocity"

    def detail(user_id: str = "active") -> str:
        return str(assert_problem(predict(service, {"user_id": user_id}), 503)["detail"])

    users.complete_ms = MIDNIGHT_MS - BATCH_AGE_MS_MAX - 1
    assert "view user_activity in Redis are too old; `weir materialize`" in detail("idle")
    users.complete_ms = None
    assert "view user_activity were never written to Redis" in detail("idle")
    fields = users.hashes["active"]
    fields[digest_field(view)] = b"0123456789abcdef"
    assert "velocity in Redis is of other feature definitions; the velocity job" in detail()
    fields = users.remember("active", VELOCITY, event_time_ms=NOW_MS)
    fields[field_name(view, "user_transaction_count_7d")] = b"?"
    assert "velocity in Redis cannot be read" in detail()
    users.is_down = True
    assert "it is down" in detail()


def test_a_deadline_without_time_for_a_read_is_said(service: Service, users: StoredUsers) -> None:
    again = service.client.post(
        "/models/leaves/predict", json={"user_id": "active"}, headers={"Weir-Deadline-Ms": "1"}
    )
    assert "no time was left to read Redis" in assert_problem(again, 503)["detail"]


def test_models_are_listed_with_their_champions(
    service: Service, users: StoredUsers, models: FixedModels
) -> None:
    listed = ModelsAnswer.model_validate_json(service.client.get("/models").content).models
    assert [each.name for each in listed] == ["weir-fraud", "leaves", "ranks"]
    assert listed[1].columns["user_amount_sum_30d_batch"] == "int64"
    assert listed[1].champion is not None
    assert listed[1].champion.version == "4"
    models.model = NoChampion("leaves")
    assert service.client.get("/models").json()["models"][1]["champion"] is None
