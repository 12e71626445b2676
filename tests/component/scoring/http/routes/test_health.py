"""GET /health, GET /ready and GET /metrics."""

from __future__ import annotations

from models.heuristic import HEURISTIC
from scoring.core.last_good import LastGoodModel
from scoring.core.rollouts import RolloutStanding
from scoring.http.answers.health import ReadyAnswer
from tests.api_service import Service
from tests.rollout_steps import rollout


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


def test_the_active_rollout_is_named_with_the_versions_that_are_loaded(service: Service) -> None:
    assert service.client.get("/ready").json()["rollout"] is None
    canary = rollout(rollout_id="v9", strategy="canary", challengers={"challenger": "9"})
    service.rollouts.active = RolloutStanding(
        canary,
        is_in_use=False,
        loaded={"control": True, "challenger": False},
        refused={"9": "GoldenRowsMismatchError: row 3"},
    )
    response = service.client.get("/ready")
    assert response.status_code == 200, "the other arm decides"
    found = ReadyAnswer.model_validate_json(response.content).rollout
    assert found is not None
    assert (found.rollout_id, found.strategy, found.stage, found.in_use) == (
        "v9",
        "canary",
        0,
        False,
    )
    assert [(arm.name, arm.share, arm.loaded) for arm in found.arms] == [
        ("control", 0.95, True),
        ("challenger", 0.05, False),
    ]
    assert found.arms[1].refused == ["GoldenRowsMismatchError: row 3"]


def test_the_last_good_model_is_named_and_does_not_make_the_process_unready(
    service: Service,
) -> None:
    assert service.client.get("/ready").json()["model"]["degraded"] == []
    service.models.model = LastGoodModel(service.models.model)
    response = service.client.get("/ready")
    assert response.status_code == 200
    assert response.json()["model"]["degraded"] == ["champion_unavailable"]
    assert service.predict()["degraded"][0] == "champion_unavailable"


def test_the_process_is_live_without_redis_and_without_a_model(service: Service) -> None:
    service.reader.is_down = True
    service.models.model = HEURISTIC
    response = service.client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "live"})
