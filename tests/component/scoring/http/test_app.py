"""The application as a whole: metrics of requests, unknown routes, bugs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api_service import Service, assert_problem
from tests.builders import transaction_object


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
    async def read_many(*arguments: Any, **named: Any) -> Any:
        raise ZeroDivisionError("secret inside")

    service.reader.read_many = read_many  # type: ignore[method-assign]
    response = service.client.post("/predict", json=transaction_object())
    problem = assert_problem(response, 500)
    assert "secret" not in str(problem)
    assert "secret inside" in caplog.text
    count = service.registry.get_sample_value
    assert count("api_requests_total", {"route": "/predict", "status": "500"}) == 1
