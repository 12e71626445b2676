"""Every error class has its status: only a bug is a 500."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import scoring.core.errors
from schemas.errors import InvalidEventError, RetryableError
from scoring.http.problems import PROBLEM_TYPE, RETRY_AFTER_S, install_problems


def answer_to(error: Exception, *, path: str = "/") -> Response:
    app = FastAPI()
    install_problems(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    @app.get("/items")
    async def items(count: int) -> int:
        return count

    async def ask() -> Response:
        transport = ASGITransport(app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(ask())


def kinds_of(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(kind for child in root.__subclasses__() for kind in kinds_of(child))]


def test_the_errors_of_scoring_are_among_those_tried() -> None:
    assert scoring.core.errors.OnlineStoreUnavailableError in kinds_of(RetryableError)


@pytest.mark.parametrize("kind", kinds_of(RetryableError), ids=lambda kind: kind.__name__)
def test_a_retryable_error_is_a_503_with_retry_after(kind: type[Exception]) -> None:
    response = answer_to(kind("Redis did not answer"))
    assert response.status_code == 503
    assert response.headers["retry-after"] == str(RETRY_AFTER_S)
    assert response.headers["content-type"] == PROBLEM_TYPE
    assert response.json() == {
        "title": "temporarily unavailable",
        "status": 503,
        "detail": "Redis did not answer",
    }


def test_an_invalid_event_is_a_422_that_names_the_field() -> None:
    response = answer_to(InvalidEventError("amount_minor", "is -1, limit 0"))
    assert response.json() == {
        "title": "invalid event",
        "status": 422,
        "detail": "amount_minor is -1, limit 0",
        "field": "amount_minor",
    }


def test_a_body_that_is_no_object_has_no_field() -> None:
    assert "field" not in answer_to(InvalidEventError(None, "is empty")).json()


def test_a_parameter_that_the_framework_refuses_looks_the_same() -> None:
    response = answer_to(Exception(), path="/items?count=many")
    assert response.status_code == 422
    assert response.json()["field"] == "count"
    assert "'many'" in response.json()["detail"]


@pytest.mark.parametrize(("status", "title"), [(404, "not found"), (418, "error")])
def test_a_refusal_keeps_its_status_and_headers(status: int, title: str) -> None:
    response = answer_to(HTTPException(status, "no", {"X-Why": "so"}))
    assert (response.status_code, response.headers["x-why"]) == (status, "so")
    assert response.json() == {"title": title, "status": status, "detail": "no"}


def test_a_client_that_hangs_up_is_not_a_bug() -> None:
    assert answer_to(ClientDisconnect()).status_code == 400


@pytest.mark.expects_error_log("GET / failed")
def test_a_bug_is_a_500() -> None:
    assert answer_to(KeyError("inside")).json()["detail"] == (
        "the service has a bug; its log has the details"
    )
