"""A function of AWS Lambda that scores, with the smallest cold start: `make_handler` and `handler`.

What comes by HTTP is a transaction, with a feature row's fields or alone; what comes by SQS or
Kafka is feature rows. Set the handler to ``scoring.embedded.aws_handler.handler`` and
`WEIR_MODEL_PATH` to a directory of `weir models download`. For all routes of the API see
`scoring.http.aws_lambda`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import orjson

from schemas.decision import Decision
from schemas.errors import InvalidEventError
from schemas.output_codec import encode_decision
from schemas.strict_json import parse_object
from scoring.core.ports import EntityPair
from scoring.embedded.aws_events import (
    HttpRequest,
    SqsMessage,
    http_answer,
    http_request,
    kafka_records,
    sqs_messages,
)
from scoring.embedded.scorer import NO_OFFSET, Scorer

MODEL_PATH_VARIABLE = "WEIR_MODEL_PATH"
PROBLEM_TYPE = "application/problem+json"

Handler = Callable[[Mapping[str, Any], object], dict[str, Any]]
ReadStored = Callable[[Mapping[str, Any]], EntityPair | None]
Emit = Callable[[bytes], None]


class UnknownEventError(ValueError):
    """The event is none of those that this function understands."""


def write_line(decision: bytes) -> None:
    """Write a decision to standard output, which Lambda keeps as the function's log."""
    sys.stdout.write(decision.decode() + "\n")


def make_handler(
    scorer: Scorer, *, read_stored: ReadStored | None = None, emit: Emit = write_line
) -> Handler:
    """Make the function that Lambda calls.

    Args:
        scorer: decides.
        read_stored: gives the histories of a transaction that comes by HTTP, see
            `scoring.embedded.online_read`; without it the event alone counts.
        emit: gets each decision about a row of SQS or Kafka, as JSON.
    """

    def handle(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
        request = http_request(event)
        if request is not None:
            return _answer(scorer, request, read_stored)
        messages = sqs_messages(event)
        if messages is not None:
            return _score_messages(scorer, messages, emit)
        records = kafka_records(event)
        if records is None:
            raise UnknownEventError(
                f"the event has the fields {sorted(event)!s:.200}: it is no HTTP request and comes "
                "neither from SQS nor from Kafka"
            )
        for record in records:
            try:
                decision = scorer.score(record.value or b"", offset=record.place)
            except InvalidEventError as error:
                # Tried again it would stay invalid, and hold up its partition.
                sys.stderr.write(f"{record.topic} {record.place}: {error}\n")
                continue
            emit(encode_decision(decision))
        return {}

    return handle


@cache
def _default_handler() -> Handler:
    return make_handler(Scorer.load(os.environ.get(MODEL_PATH_VARIABLE, "model")))


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Score with the model in the directory that `WEIR_MODEL_PATH` names."""
    return _default_handler()(event, context)


def _answer(scorer: Scorer, request: HttpRequest, read_stored: ReadStored | None) -> dict[str, Any]:
    if request.method != "POST" or not request.path.rstrip("/").endswith("/predict"):
        return _problem(404, "not found", f"no route {request.method} {request.path:.80}")
    try:
        decision = _decide(scorer, request.body, read_stored)
    except InvalidEventError as error:
        return _problem(422, "invalid event", str(error))
    return http_answer(200, encode_decision(decision))


def _decide(scorer: Scorer, body: bytes, read_stored: ReadStored | None) -> Decision:
    fields = parse_object(body)
    if "features" in fields:
        return scorer.score(body, offset=NO_OFFSET)
    stored = None if read_stored is None else read_stored(fields)
    return scorer.score_transaction(fields, stored).decision


def _score_messages(scorer: Scorer, messages: list[SqsMessage], emit: Emit) -> dict[str, Any]:
    """Score messages; SQS sends those that are no rows again, then to its dead letters."""
    failed = []
    for message in messages:
        try:
            decision = scorer.score(message.body)
        except InvalidEventError as error:
            sys.stderr.write(f"message {message.message_id}: {error}\n")
            failed.append({"itemIdentifier": message.message_id})
            continue
        emit(encode_decision(decision))
    return {"batchItemFailures": failed}


def _problem(status: int, title: str, detail: str) -> dict[str, Any]:
    problem = {"title": title, "status": status, "detail": detail}
    return http_answer(status, orjson.dumps(problem), kind=PROBLEM_TYPE)
