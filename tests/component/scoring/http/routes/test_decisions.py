"""GET /decisions: the first decision, byte for byte."""

from __future__ import annotations

from schemas.output_codec import encode_decision
from tests.api_service import Service, assert_problem
from tests.builders import DECISION


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
