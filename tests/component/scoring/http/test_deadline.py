"""A request's deadline: what is left out when time runs short; there is always an answer."""

from __future__ import annotations

from typing import Any

import pytest

from features.batch import BATCH_NAMES
from scoring.http.deadline import BATCH_FEATURES_MS_MIN, SCORING_MS, Deadline
from tests.api_service import FixedModel, Service, assert_problem
from tests.builders import NOW_MS, transaction_object


@pytest.fixture
def batch_service(service: Service) -> Service:
    model = FixedModel()
    model.batch_columns = BATCH_NAMES
    service.models.model = model
    service.remember_batch_features("u-1", NOW_MS - 5_000, 9)
    return service


def ask(service: Service, **headers: str) -> dict[str, Any]:
    response = service.client.post(
        "/predict", json=transaction_object(user_id="u-1"), headers=headers
    )
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_with_time_nothing_is_left_out_and_the_read_is_limited(batch_service: Service) -> None:
    assert ask(batch_service)["degraded"] == []
    (timeout_ms,) = batch_service.reader.timeouts_ms
    assert timeout_ms is not None
    assert 0 < timeout_ms <= batch_service.deadline_ms - SCORING_MS


def test_without_time_there_is_an_answer_from_the_event_alone(batch_service: Service) -> None:
    answer = ask(batch_service, **{"Weir-Deadline-Ms": "1"})
    assert answer["degraded"] == ["history_dropped", "batch_features_dropped"]
    assert answer["features"]["user_transaction_count_5m"] == 1
    assert batch_service.reader.reads == 0


def test_with_little_time_the_batch_features_go_first() -> None:
    total_ms = SCORING_MS + BATCH_FEATURES_MS_MIN
    deadline = Deadline(total_ms, started_ms=100.0)
    assert deadline.plan(100.0, with_batch=True) == (BATCH_FEATURES_MS_MIN, True, True)
    assert deadline.plan(100.5, with_batch=True)[1:] == (True, False)
    assert deadline.plan(100.0 + total_ms, with_batch=True)[1:] == (False, False)
    assert deadline.plan(100.0, with_batch=False).batch_features is False


def test_the_histories_are_read_without_the_batch_features(
    batch_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoring.http.deadline.BATCH_FEATURES_MS_MIN", 60_000)
    answer = ask(batch_service)
    assert answer["degraded"] == ["batch_features_dropped"]
    assert answer["features"]["user_transaction_count_1h"] == 2
    assert {answer["features"][name] for name in BATCH_NAMES} == {None}


def test_the_header_shortens_and_never_lengthens() -> None:
    def total_ms(header: str | None, transactions: int = 1) -> float:
        return Deadline.of(header, limit_ms=50, started_ms=0, transactions=transactions).total_ms

    assert [total_ms(text) for text in (None, "20", "60000")] == [50, 20, 50]
    assert [total_ms(None, count) for count in (100, 101, 1_000)] == [50, 100, 500]


@pytest.mark.parametrize("value", ["", "0", "-1", "60001", "1.5", "+5", "\u0665", "ten", "9" * 99])
def test_a_header_that_is_no_time_is_refused(service: Service, value: str) -> None:
    response = service.client.post(
        "/predict", json=transaction_object(), headers={b"Weir-Deadline-Ms": value.encode()}
    )
    problem = assert_problem(response, 422, "must be from 1 to 60000 ms")
    assert problem["field"] == "Weir-Deadline-Ms"
