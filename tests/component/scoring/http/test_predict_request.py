"""The body of POST /predict: refused by the rules and in the words of the stream, within limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from scoring.http import predict_request
from scoring.http.predict_request import BODY_BYTES_MAX
from tests.api_service import Service, assert_problem
from tests.builders import NOW_MS, transaction_object, without


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
def test_a_body_that_is_no_transaction_is_refused_in_the_words_of_the_stream(
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
def test_a_body_over_the_limit_is_refused(service: Service, extra: int, status: int) -> None:
    body = json.dumps(transaction_object()).encode()
    body += b" " * (BODY_BYTES_MAX - len(body) + extra)
    response = service.client.post("/predict", content=body)
    assert response.status_code == status
    if status == 413:
        assert_problem(response, 413, "over 65536 bytes")


def test_a_body_that_never_ends_is_given_up(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_request, "BODY_TIMEOUT_S", 0.01)

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    response = service.client.post("/predict", content=endless())
    assert_problem(response, 408, "not complete in 0.01 s")
    assert response.headers["connection"] == "close"
