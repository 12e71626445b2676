"""The routes of rollouts: the same changes, refusals and reasons as the commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from scoring.core.rollout_changes import completed, paused
from scoring.http.answers.rollout import RolloutAnswer
from tests.api_service import Service
from tests.rollout_readings import READING
from tests.rollout_steps import author

CANARY = {"rollout_id": "v8", "strategy": "canary", "challenger": "8"}


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    with service.client:
        yield service


def post(service: Service, path: str, body: Any = None, *, status: int = 200) -> dict[str, Any]:
    response = service.client.post(path, json=body) if body else service.client.post(path)
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.json()
    if status < 300:
        RolloutAnswer.model_validate(found)
    return found


def start(service: Service, **changes: Any) -> dict[str, Any]:
    return post(service, "/rollouts", {**CANARY, **changes}, status=201)


def test_a_rollout_is_started_shown_and_listed(service: Service) -> None:
    started = start(service, by="ana", reason="better figures")
    assert started["why"] == "better figures. Said by ana."
    assert started["arms"][1] == {"name": "challenger", "version": "8", "share": 0.05}
    shown = service.client.get("/rollouts/v8").json()
    assert shown == started
    assert service.client.get("/rollouts").json() == {"rollouts": [shown]}


def test_what_the_controller_has_counted_is_shown_with_what_is_amiss(service: Service) -> None:
    start(service)
    assert service.client.get("/rollouts/v8").json()["counted"] is None
    service.rollout_readings["v8"] = READING
    counted = service.client.get("/rollouts/v8").json()["counted"]
    assert counted["recommendation"] == "go_on"
    assert [arm["decisions"] for arm in counted["arms"]] == [10, 9]
    assert counted["figures"][0] == {"name": "lift", "value": None, "text": "Too few losses."}
    assert counted["notes"] == list(READING.notes)
    service.now_ms += 60_000
    counted = service.client.get("/rollouts/v8").json()["counted"]
    assert "The controller has reported nothing for 60 s" in counted["notes"][-1]


def test_every_change_has_a_route_and_says_why(service: Service) -> None:
    start(service)
    assert post(service, "/rollouts/v8/pause", {"by": "ben"})["why"] == (
        "pause over HTTP. Said by ben."
    )
    assert post(service, "/rollouts/v8/resume")["status"] == "running"
    asked = post(service, "/rollouts/v8/promote", {"arm": "challenger"}, status=202)
    assert asked["next"].startswith("The controller asks the parity gate")
    assert post(service, "/rollouts/v8/abort")["status"] == "aborted"
    assert [
        change["to"][:7] for change in service.client.get("/rollouts/v8").json()["changes"]
    ] == [
        "running",
        "paused,",
        "running",
        "running",
        "aborted",
    ]


def test_blue_green_is_switched_and_rolled_back(service: Service) -> None:
    start(service, strategy="blue_green")
    assert post(service, "/rollouts/v8/switch")["arms"][1]["share"] == 1
    assert post(service, "/rollouts/v8/switch", {"to": "blue"})["arms"][1]["share"] == 0
    assert post(service, "/rollouts/v8/rollback")["status"] == "rolled_back"


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        (CANARY | {"challenger": "99"}, "version", "has no such version"),
        (CANARY | {"plan": {"stages": []}}, "plan.stages", "is not known"),
        (CANARY | {"strategy": "x"}, "strategy", "must be one of"),
        (CANARY | {"by": ""}, "by", "is blank"),
        ({"strategy": "ab", "challenger": "8"}, "rollout_id", "is missing"),
    ],
)
def test_a_start_that_makes_no_sense_is_refused_by_field(
    service: Service, body: dict[str, Any], field: str, told: str
) -> None:
    problem = post(service, "/rollouts", body, status=422)
    assert problem["field"] == field
    assert told in problem["detail"]
    assert service.client.get("/rollouts").json() == {"rollouts": []}


def test_what_stands_in_the_way_is_a_conflict(service: Service) -> None:
    start(service)
    second = post(service, "/rollouts", {**CANARY, "rollout_id": "v9"}, status=409)
    assert "whose traffic the rollout v8 splits" in second["detail"]
    assert "only a paused rollout" in post(service, "/rollouts/v8/resume", status=409)["detail"]
    assert "only a blue_green" in post(service, "/rollouts/v8/switch", status=409)["detail"]
    taken = post(service, "/rollouts", CANARY, status=409)
    assert "which exists; choose another id" in taken["detail"]


def test_a_rollback_after_the_end_asks_the_controller(service: Service) -> None:
    start(service)
    newest = service.rollout_log.history.newest("v8")
    assert newest is not None
    service.rollout_log.write(completed(newest.rollout, author(), winner="challenger"))
    answer = post(service, "/rollouts/v8/rollback", {"by": "ana"}, status=202)
    assert (answer["status"], answer["changes"][0]["by"]) == ("completed", "ana")
    assert "The controller makes the champion before it decide again" in answer["next"]
    problem = post(service, "/rollouts/v8/rollback", status=409)
    assert "the controller is asked" in problem["detail"]


def test_a_rollback_without_a_winner_is_a_conflict(service: Service) -> None:
    start(service)
    post(service, "/rollouts/v8/abort")
    problem = post(service, "/rollouts/v8/rollback", status=409)
    assert "no new version of it is the champion" in problem["detail"]


def test_unknown_rollouts_and_fields_are_named(service: Service) -> None:
    assert service.client.get("/rollouts/v9").status_code == 404
    assert post(service, "/rollouts/v9/abort", status=404)["detail"].startswith(
        "there is no rollout 'v9'"
    )
    start(service)
    problem = post(service, "/rollouts/v8/abort", {"why": "x"}, status=422)
    assert problem["detail"] == "why is not known; known are by, reason"


def test_an_abort_wins_over_a_controller_that_was_faster(service: Service) -> None:
    start(service)
    newest = service.rollout_log.history.newest("v8")
    assert newest is not None
    service.rollout_log.comes_first = paused(newest.rollout, author(name="controller"))
    answer = post(service, "/rollouts/v8/abort")
    assert (answer["status"], answer["revision"]) == ("aborted", 3)


def test_a_start_that_comes_second_is_a_conflict(service: Service) -> None:
    started = start(service)
    post(service, "/rollouts/v8/abort")
    assert started["revision"] == 1
    first = service.rollout_log.history.changes("v8")[0]
    rival = replace(first, rollout=replace(first.rollout, rollout_id="rival"))
    service.rollout_log.comes_first = rival
    told = post(service, "/rollouts", CANARY | {"rollout_id": "v10"}, status=409)
    assert "whose traffic the rollout rival splits" in told["detail"]


def test_without_kafka_the_answer_is_503(service: Service) -> None:
    service.rollout_log.is_away = True
    for response in (
        service.client.get("/rollouts"),
        service.client.post("/rollouts/v8/abort"),
        service.client.post("/rollouts", json=CANARY),
    ):
        assert response.status_code == 503
        assert response.json()["detail"] == "Kafka is away"
