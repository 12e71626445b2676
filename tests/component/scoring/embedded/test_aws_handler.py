"""The functions of AWS Lambda, on the events that Lambda sends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.output_codec import encode_feature_row
from scoring import Scorer
from scoring.core.ports import EntityPair
from scoring.embedded import aws_handler
from scoring.embedded.aws_handler import Handler, UnknownEventError, make_handler
from scoring.embedded.model_directory import write_directory
from scoring.http.aws_lambda import make_lambda_handler
from tests import aws_events
from tests.api_service import Service
from tests.aws_events import HTTP_EVENTS
from tests.builders import NOW_MS, transaction_object
from tests.model_files import trained
from tests.scoring_fakes import feature_row

EMITTED: list[dict[str, Any]] = []


@pytest.fixture
def handler() -> Handler:
    EMITTED.clear()
    return make_handler(
        Scorer.load(None), emit=lambda decision: EMITTED.append(orjson.loads(decision))
    )


def row(transaction_id: str) -> bytes:
    return encode_feature_row(feature_row(transaction_id))


@pytest.mark.parametrize("kind", HTTP_EVENTS)
def test_a_transaction_and_a_row_are_scored_over_http(handler: Handler, kind: str) -> None:
    sent = transaction_object(event_time_ms=1_700_000_000_000)
    for body, transaction_id in (
        (json.dumps(sent), sent["transaction_id"]),
        (row("t-9").decode(), "t-9"),
    ):
        answer = handler(HTTP_EVENTS[kind](body), None)
        assert answer["statusCode"] == 200
        assert answer["headers"]["content-type"] == "application/json"
        assert json.loads(answer["body"])["transaction_id"] == transaction_id


@pytest.mark.parametrize("kind", HTTP_EVENTS)
def test_what_is_refused_is_a_problem(handler: Handler, kind: str) -> None:
    event = HTTP_EVENTS[kind]
    for body, path, status in (("{", "/predict", 422), ("{}", "/predict", 422), ("{}", "/x", 404)):
        answer = handler(event(body, path), None)
        assert answer["statusCode"] == status
        assert answer["headers"]["content-type"] == "application/problem+json"
        assert json.loads(answer["body"])["status"] == status


def test_a_stage_in_the_path_does_not_matter(handler: Handler) -> None:
    event = aws_events.api_gateway_v2(row("t-1").decode(), "/production/predict/")
    assert handler(event, None)["statusCode"] == 200


def test_histories_are_read_for_a_transaction_alone() -> None:
    asked = []

    def read_stored(fields: Mapping[str, Any]) -> EntityPair | None:
        asked.append(fields["user_id"])
        return EntityPair([None] * 4, [None] * 4)

    handler = make_handler(Scorer.load(None), read_stored=read_stored)
    body = json.dumps(transaction_object(event_time_ms=1_700_000_000_000))
    answer = json.loads(handler(aws_events.api_gateway_v2(body), None)["body"])
    assert answer["degraded"] == ["no_model"]
    assert asked == [transaction_object()["user_id"]]


def test_messages_of_sqs_are_scored_and_bad_ones_stay_in_the_queue(
    handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    event = aws_events.sqs([row("t-1").decode(), "junk", row("t-2").decode()])
    answer = handler(event, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]}
    assert [decision["transaction_id"] for decision in EMITTED] == ["t-1", "t-2"]
    assert "is not JSON" in capsys.readouterr().err


@pytest.mark.parametrize("event", [aws_events.msk, aws_events.self_managed_kafka])
def test_records_of_kafka_are_scored_with_their_place(
    handler: Handler, event: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert handler(event([row("t-1"), None, b"junk", row("t-2")]), None) == {}
    assert [(decision["transaction_id"], decision["features_offset"]) for decision in EMITTED] == [
        ("t-1", {"partition": 0, "offset": 15}),
        ("t-2", {"partition": 0, "offset": 18}),
    ]
    assert capsys.readouterr().err.count("features") == 2


@pytest.mark.parametrize("event", [{}, {"Records": [{"eventSource": "aws:s3"}]}, {"source": "x"}])
def test_another_event_is_an_error_that_names_its_fields(
    handler: Handler, event: dict[str, Any]
) -> None:
    with pytest.raises(UnknownEventError, match="neither from SQS nor from Kafka"):
        handler(event, None)


def test_the_default_handler_loads_the_model_that_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_directory(tmp_path, trained().files, name="weir-fraud", version="7")
    monkeypatch.setenv("WEIR_MODEL_PATH", str(tmp_path))
    aws_handler._default_handler.cache_clear()
    try:
        aws_handler.handler(aws_events.msk([row("t-1")]), None)
        monkeypatch.setenv("WEIR_MODEL_PATH", "/nothing")
        aws_handler.handler(aws_events.msk([row("t-2")]), None)
    finally:
        aws_handler._default_handler.cache_clear()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["model"]["version"] for line in lines] == ["7", "7"]


@pytest.mark.parametrize("kind", HTTP_EVENTS)
def test_the_whole_api_answers_in_lambda(kind: str) -> None:
    service = Service()
    service.remember_user("u-1", NOW_MS - 1_000)
    handler = make_lambda_handler(service._parts)
    answer = handler(HTTP_EVENTS[kind](json.dumps(transaction_object(user_id="u-1"))), None)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["features"]["user_transaction_count_1h"] == 2
    refused = handler(HTTP_EVENTS[kind]("{}"), None)
    assert refused["statusCode"] == 422
