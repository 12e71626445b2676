"""GET /health, GET /ready and GET /metrics."""

from __future__ import annotations

from models.heuristic import HEURISTIC
from scoring.http.answers.health import ReadyAnswer
from tests.api_service import Service


def test_ready_with_redis_and_a_model(service: Service) -> None:
    response = service.client.get("/ready")
    assert response.status_code == 200
    answer = ReadyAnswer.model_validate_json(response.content)
    assert (answer.ready, answer.reasons) == (True, [])
    assert answer.model.model.version == "7"


def test_not_ready_without_redis(service: Service) -> None:
    service.reader.is_down = True
    response = service.client.get("/ready")
    assert response.status_code == 503
    answer = ReadyAnswer.model_validate_json(response.content)
    assert answer.redis.reachable is False
    assert answer.model.loaded is True
    assert answer.reasons == ["the online store is down, says the test"]


def test_not_ready_without_a_model_and_refused_versions_are_named(service: Service) -> None:
    service.models.model = HEURISTIC
    service.models.refused = {"8": "GoldenRowsMismatchError: row 3"}
    response = service.client.get("/ready")
    assert response.status_code == 503
    answer = ReadyAnswer.model_validate_json(response.content)
    assert answer.model.loaded is False
    assert answer.model.refused == {"8": "GoldenRowsMismatchError: row 3"}
    assert answer.reasons == ["no model is loaded: the heuristic decides"]


def test_the_process_is_live_without_redis_and_without_a_model(service: Service) -> None:
    service.reader.is_down = True
    service.models.model = HEURISTIC
    response = service.client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "live"})
