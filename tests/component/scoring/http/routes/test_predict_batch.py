"""POST /predict/batch: each transaction gets what POST /predict would have answered."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from features.batch import BATCH_NAMES
from models.model import Scores
from scoring.http.answers.batch import BatchPredictAnswer
from scoring.http.keys.gate import Gate
from scoring.http.predict_request import BATCH_MAX
from tests.api_service import FixedModel, Service, assert_problem
from tests.builders import NOW_MS, transaction_object

LATENCY = re.compile(rb'"latency_ms":[0-9.e-]+')


def ask(service: Service, *transactions: Any) -> tuple[dict[str, Any], bytes]:
    response = service.client.post("/predict/batch", json={"transactions": transactions})
    assert response.status_code == 200, response.text
    BatchPredictAnswer.model_validate_json(response.content)
    answer: dict[str, Any] = response.json()
    return answer, response.content


def test_each_answer_has_the_bytes_of_a_single_one_at_the_same_instant(service: Service) -> None:
    model = FixedModel()
    model.batch_columns = BATCH_NAMES[:1]
    service.models.model = model
    service.remember_batch_features("u-1", NOW_MS - 5_000, 9)
    service.remember_merchant("m-1", NOW_MS - 1_000)
    sent = [
        transaction_object(transaction_id=f"t-{at}", user_id=f"u-{at}", merchant_id=f"m-{at % 2}")
        for at in range(3)
    ]
    _, together = ask(service, *sent)
    each = [service.client.post("/predict", json=one).content for one in sent]
    for one in each:
        assert LATENCY.sub(b"", one) in LATENCY.sub(b"", together)


def test_a_batch_is_one_read_and_one_call_of_the_model(service: Service) -> None:
    calls = []

    class CountingModel(FixedModel):
        def score(self, rows: Any) -> Scores:
            calls.append(len(rows))
            return super().score(rows)

    service.models.model = CountingModel()
    answer, _ = ask(service, *(transaction_object(transaction_id=f"t-{at}") for at in range(250)))
    assert (calls, service.reader.reads) == ([250], 1)
    assert [one["transaction_id"] for one in answer["answers"]] == [f"t-{at}" for at in range(250)]


def test_an_invalid_transaction_gets_its_problem_and_the_others_their_scores(
    service: Service,
) -> None:
    wrong = transaction_object(amount_minor=-1)
    answer, _ = ask(service, transaction_object(), wrong, 7, transaction_object())
    statuses = [one.get("status") for one in answer["answers"]]
    assert statuses == [None, 422, 422, None]
    assert answer["refused"] == 2
    single = assert_problem(service.client.post("/predict", json=wrong), 422)
    assert answer["answers"][1] == single
    assert answer["answers"][2]["detail"] == "the value must be a JSON object, is 7"


def test_a_batch_of_invalid_transactions_reads_nothing(service: Service) -> None:
    answer, _ = ask(service, {}, {})
    assert (answer["refused"], service.reader.reads) == (2, 0)


def test_without_redis_every_transaction_has_an_answer_that_says_so(service: Service) -> None:
    service.reader.is_down = True
    answer, _ = ask(service, transaction_object(), transaction_object(user_id="u-2"))
    assert [one["degraded"] for one in answer["answers"]] == [["online_store_unavailable"]] * 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "must be a JSON object"),
        (b"{}", "transactions is null, must be a list"),
        (b'{"transactions": 1}', "transactions is 1, must be a list"),
        (b'{"transactions": []}', "transactions has 0 entries, must have 1 to 1000"),
        (json.dumps({"transactions": [0] * (BATCH_MAX + 1)}).encode(), "has 1001 entries"),
        (b'{"transactions": [{"amount_minor": NaN}]}', "NaN"),
        (b'{"transactions": [{"user_id": "a", "user_id": "b"}]}', "twice"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(service: Service, body: bytes, said: str) -> None:
    assert_problem(service.client.post("/predict/batch", content=body), 422, said)


def test_a_batch_counts_as_a_request_for_each_hundred() -> None:
    charged: list[tuple[str, float]] = []

    class CountingGate(Gate):
        def __init__(self) -> None:
            pass

        def admit(self, authorization: str | None, *, scope: Any) -> str:
            return "k"

        def charge(self, key_id: str, requests: float) -> None:
            charged.append((key_id, requests))

    service = Service()
    service.gate = CountingGate()
    with service.client as client:
        for count in (1, 100, 101, 1_000):
            body = {"transactions": [transaction_object()] * count}
            assert client.post("/predict/batch", json=body).status_code == 200
    assert charged == [("k", 0), ("k", 0), ("k", 1), ("k", 9)]
