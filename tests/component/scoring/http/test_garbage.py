"""No request gets a 500 or an undocumented answer.

Hypothesis makes bodies, ids, stored bytes and failures; every answer must have a documented
status and the documented shape.
"""

from __future__ import annotations

import json
import string
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.definitions import Entity
from features.online.layout import state_fields
from models.heuristic import HEURISTIC
from scoring.http.answers import Answer
from scoring.http.answers.batch import BatchPredictAnswer
from scoring.http.answers.features import FeaturesAnswer
from scoring.http.answers.health import HealthAnswer, ReadyAnswer
from scoring.http.answers.predict import PredictAnswer
from scoring.http.answers.problem import Problem
from tests.api_service import FixedModel, Service, percent_encoded
from tests.builders import NOW_MS, transaction_object

ANSWERS: dict[str, type[Answer]] = {
    "/predict": PredictAnswer,
    "/features": FeaturesAnswer,
    "/ready": ReadyAnswer,
    "/health": HealthAnswer,
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=140)
    | st.sampled_from(["EUR", "DE", "u-1", "", " ", "\x00", "\ud800", "1" * 129])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
fields = st.sampled_from([*transaction_object(), "unknown"])
near_transactions = st.dictionaries(fields, values, max_size=3).map(
    lambda changes: {**transaction_object(), **changes}
)
# A float here is as Python writes it, so NaN and Infinity come along.
bodies = (near_transactions | values).map(lambda it: json.dumps(it).encode()) | st.binary()
ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=135) | st.sampled_from(
    ["u-1", "u-2", "..", "/", "a/b", string.whitespace]
)
damages = st.dictionaries(st.integers(0, 3), st.none() | st.binary(max_size=60), max_size=4)


def worlds() -> st.SearchStrategy[Service]:
    """A service whose store may be down, damaged or in order, with a model or none."""
    return st.builds(_world, st.booleans(), st.booleans(), damages)


def _world(is_down: bool, has_model: bool, damage: dict[int, bytes | None]) -> Service:
    service = Service()
    service.remember_user("u-1", NOW_MS - 1_000)
    service.remember_merchant("m-1", NOW_MS - 1_000)
    stores: dict[Entity, Any] = {"user": service.reader.users, "merchant": service.reader.merchants}
    for entity, entities in stores.items():
        for entity_id, fields in entities.items():
            changed = {state_fields(entity)[at]: value for at, value in damage.items()}
            entities[entity_id] = {**fields, **changed}
    service.reader.is_down = is_down
    service.models.model = FixedModel() if has_model else HEURISTIC
    return service


def assert_documented(path: str, response: Any, *, statuses: set[int]) -> None:
    assert response.status_code in statuses, response.text
    route = "/" + path.split("/")[1].split("?", maxsplit=1)[0]
    if response.status_code == 200 or (route == "/ready" and response.status_code == 503):
        if route in ANSWERS:
            ANSWERS[route].model_validate_json(response.content)
        return
    problem = Problem.model_validate_json(response.content)
    assert problem.status == response.status_code
    if response.status_code == 503:
        assert response.headers["retry-after"] == "1"


relaxed = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@relaxed
@given(worlds(), st.lists(bodies, min_size=1, max_size=20))
def test_any_body_gets_a_score_or_a_reason(service: Service, sent: list[bytes]) -> None:
    with service.client as client:
        for body in sent:
            response = client.post("/predict", content=body)
            assert_documented("/predict", response, statuses={200, 422})


@relaxed
@given(worlds(), st.lists(near_transactions | values, max_size=5))
def test_any_batch_gets_for_each_entry_a_score_or_a_reason(
    service: Service, sent: list[Any]
) -> None:
    with service.client as client:
        body = json.dumps({"transactions": sent}).encode()
        response = client.post("/predict/batch", content=body)
        assert response.status_code in {200, 422}
        if response.status_code == 200:
            answer = BatchPredictAnswer.model_validate_json(response.content)
            assert len(answer.answers) == len(sent)


@relaxed
@given(worlds(), st.lists(st.tuples(ids, st.none() | ids), min_size=1, max_size=20))
def test_any_id_gets_values_or_a_reason(
    service: Service, asked: list[tuple[str, str | None]]
) -> None:
    with service.client as client:
        for user_id, merchant_id in asked:
            query = "" if merchant_id is None else f"?merchant_id={percent_encoded(merchant_id)}"
            encoded = percent_encoded(user_id)
            for path in (f"/features/{encoded}{query}", f"/decisions/{encoded}"):
                assert_documented(path, client.get(path), statuses={200, 404, 422, 503})


@relaxed
@given(worlds(), st.sampled_from(["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]), ids)
def test_any_method_and_path_gets_an_answer(service: Service, method: str, path: str) -> None:
    with service.client as client:
        for target in (f"/{quote(path)}", "/ready", "/health", "/metrics", "/", "/docs", "/docs/x"):
            response = client.request(method, target)
            assert response.status_code in {200, 404, 405, 422, 503}, response.text
