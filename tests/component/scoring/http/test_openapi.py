"""The OpenAPI document is complete, and the routes do what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from models.heuristic import HEURISTIC
from schemas.decision import Decision
from schemas.output_codec import encode_decision
from scoring.http.answers.problem import TITLES
from scoring.http.predict_request import BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX
from scoring.http.problems import PROBLEM_TYPE
from tests.api_service import Service
from tests.builders import DECISION, NOW_MS, transaction_object

SCOPED = {"401", "403", "429"}
ROUTES = {
    ("post", "/predict"): {"200", "408", "413", "422"} | SCOPED,
    ("post", "/predict/batch"): {"200", "408", "413", "422"} | SCOPED,
    ("get", "/models"): {"200"} | SCOPED,
    ("post", "/models/{name}/predict"): {"200", "404", "408", "413", "422", "503"} | SCOPED,
    ("post", "/models/{name}/predict/batch"): {"200", "404", "408", "413", "422", "503"} | SCOPED,
    ("get", "/features/{user_id}"): {"200", "404", "422", "503"} | SCOPED,
    ("get", "/decisions/{transaction_id}"): {"200", "404", "422", "503"} | SCOPED,
    ("get", "/rollouts"): {"200", "503"} | SCOPED,
    ("post", "/rollouts"): {"201", "408", "409", "413", "422", "503"} | SCOPED,
    ("get", "/rollouts/{rollout_id}"): {"200", "404", "422", "503"} | SCOPED,
    **{
        ("post", f"/rollouts/{{rollout_id}}/{name}"): {
            *statuses,
            *("404", "408", "409", "413", "422", "503"),
            *SCOPED,
        }
        for name, statuses in {
            **dict.fromkeys(("pause", "resume", "switch", "abort"), ("200",)),
            "rollback": ("200", "202"),
            "promote": ("202",),
        }.items()
    },
    ("get", "/health"): {"200"},
    ("get", "/ready"): {"200", "503"},
    ("get", "/metrics"): {"200"} | SCOPED,
}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service()
    service.remember_user("u-1", NOW_MS)
    service.remember_merchant("m-1", NOW_MS)
    service.reader.decisions["t-1"] = encode_decision(DECISION)
    with service.client:
        yield service


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    document: dict[str, Any] = service.client.get("/openapi.json").json()
    return document


def media(document: dict[str, Any], route: tuple[str, str], status: str) -> dict[str, Any]:
    method, path = route
    content = document["paths"][path][method]["responses"][status]["content"]
    assert len(content) == 1
    return next(iter(content.values()))


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def every_response() -> list[tuple[tuple[str, str], str]]:
    return [(route, status) for route, statuses in ROUTES.items() for status in sorted(statuses)]


def test_every_route_and_every_answer_is_documented(document: dict[str, Any]) -> None:
    found = {
        (method, path): set(operation["responses"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert found == ROUTES


@pytest.mark.parametrize(("route", "status"), every_response())
def test_every_answer_has_an_example_that_follows_its_schema(
    document: dict[str, Any], route: tuple[str, str], status: str
) -> None:
    described = media(document, route, status)
    check(document, described["schema"], described["example"])


@pytest.mark.parametrize(("route", "status"), every_response())
def test_every_problem_has_the_title_that_the_service_gives_it(
    document: dict[str, Any], route: tuple[str, str], status: str
) -> None:
    method, path = route
    content = document["paths"][path][method]["responses"][status]["content"]
    if PROBLEM_TYPE in content:
        assert content[PROBLEM_TYPE]["example"]["title"] == TITLES[int(status)]


@pytest.mark.parametrize(
    ("route", "path"),
    [
        (("get", "/features/{user_id}"), "/features/u-9"),
        (("get", "/features/{user_id}"), "/features/%20"),
        (("get", "/decisions/{transaction_id}"), "/decisions/t-9"),
        (("get", "/decisions/{transaction_id}"), "/decisions/%20"),
    ],
)
def test_the_example_of_a_problem_is_what_the_service_answers(
    service: Service, document: dict[str, Any], route: tuple[str, str], path: str
) -> None:
    response = service.client.get(path)
    assert response.json() == media(document, route, str(response.status_code))["example"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", b" " * (BODY_BYTES_MAX + 1)),
        ("/predict", json.dumps(transaction_object(amount_minor=-1)).encode()),
        ("/predict/batch", b" " * (BATCH_BODY_BYTES_MAX + 1)),
        ("/predict/batch", b'{"transactions": []}'),
    ],
    ids=["too large", "invalid", "batch too large", "batch empty"],
)
def test_the_example_of_a_refused_body_is_what_the_service_answers(
    service: Service, document: dict[str, Any], path: str, body: bytes
) -> None:
    response = service.client.post(path, content=body)
    described = media(document, ("post", path), str(response.status_code))
    assert response.json() == described["example"]


def test_routes_with_a_scope_say_so_and_the_scheme_is_described(document: dict[str, Any]) -> None:
    scopes = {
        path: operation.get("security")
        for path, operations in document["paths"].items()
        for operation in operations.values()
    }
    assert scopes == {
        "/predict": [{"apiKey": ["predict"]}],
        "/predict/batch": [{"apiKey": ["predict"]}],
        "/models": [{"apiKey": ["read"]}],
        "/models/{name}/predict": [{"apiKey": ["predict"]}],
        "/models/{name}/predict/batch": [{"apiKey": ["predict"]}],
        "/features/{user_id}": [{"apiKey": ["read"]}],
        "/decisions/{transaction_id}": [{"apiKey": ["read"]}],
        "/rollouts": [{"apiKey": ["operate"]}],
        "/rollouts/{rollout_id}": [{"apiKey": ["read"]}],
        **{
            f"/rollouts/{{rollout_id}}/{name}": [{"apiKey": ["operate"]}]
            for name in ("pause", "resume", "switch", "abort", "rollback", "promote")
        },
        "/metrics": [{"apiKey": ["operate"]}],
        "/health": None,
        "/ready": None,
    }
    assert document["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"


def test_every_parameter_and_field_is_described(document: dict[str, Any]) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["description"]
            for parameter in operation.get("parameters", []):
                assert parameter["description"]
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    for name, described in body["schema"]["properties"].items():
        assert described["description"], name


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_every_example_of_a_body_is_scored(
    service: Service, document: dict[str, Any], path: str
) -> None:
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"]
    for example in body["examples"].values():
        check(document, body["schema"], example["value"])
        response = service.client.post(path, json=example["value"])
        assert response.status_code == 200
        check(document, media(document, ("post", path), "200")["schema"], response.json())


def test_the_example_of_a_decision_has_every_field(document: dict[str, Any]) -> None:
    example = media(document, ("get", "/decisions/{transaction_id}"), "200")["example"]
    # Null, because the thresholds gave the outcome; FastAPI drops nulls from examples.
    assert list(example) == [name for name in Decision.__slots__ if name != "policy"]


@pytest.mark.parametrize(
    ("route", "path"),
    [
        (("get", "/features/{user_id}"), "/features/u-1?merchant_id=m-1"),
        (("get", "/features/{user_id}"), "/features/nobody"),
        (("get", "/features/{user_id}"), "/features/%20"),
        (("get", "/decisions/{transaction_id}"), "/decisions/t-1"),
        (("get", "/decisions/{transaction_id}"), "/decisions/t-9"),
        (("get", "/health"), "/health"),
        (("get", "/ready"), "/ready"),
    ],
)
def test_answers_follow_the_document(
    service: Service, document: dict[str, Any], route: tuple[str, str], path: str
) -> None:
    response = service.client.get(path)
    check(document, media(document, route, str(response.status_code))["schema"], response.json())


@pytest.mark.parametrize("has_model", [True, False])
@pytest.mark.parametrize("is_down", [True, False])
def test_scores_follow_the_document_without_redis_and_without_a_model(
    document: dict[str, Any], is_down: bool, has_model: bool
) -> None:
    service = Service()
    service.reader.is_down = is_down
    if not has_model:
        service.models.model = HEURISTIC
    with service.client:
        answer = service.predict()
        ready = service.client.get("/ready")
    check(document, media(document, ("post", "/predict"), "200")["schema"], answer)
    schema = media(document, ("get", "/ready"), str(ready.status_code))["schema"]
    check(document, schema, ready.json())
