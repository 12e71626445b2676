"""The events of AWS Lambda that carry something to score: what they hold, and how to answer them.

HTTP requests (API Gateway with payload 1.0 and 2.0, function URLs, load balancers), messages of
SQS, and records of Kafka (Amazon MSK, or a broker of one's own). Pure.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from schemas.decision import Offset

Event = Mapping[str, Any]

KAFKA_SOURCES = ("aws:kafka", "aws:SelfManagedKafka", "SelfManagedKafka")
SQS_SOURCE = "aws:sqs"


class HttpRequest(NamedTuple):
    """The parts of a request that matter here."""

    method: str
    path: str
    body: bytes


class KafkaRecord(NamedTuple):
    """One record of Kafka."""

    topic: str
    place: Offset
    value: bytes | None


class SqsMessage(NamedTuple):
    """One message of SQS."""

    message_id: str
    body: str


def http_request(event: Event) -> HttpRequest | None:
    """Give the request of an event; None if the event is of another kind.

    Raises:
        ValueError: the body is not what the event says.
    """
    if "httpMethod" in event:
        method, path = event["httpMethod"], event.get("path", "/")
    elif isinstance(http := event.get("requestContext", {}).get("http"), Mapping):
        method, path = http["method"], event.get("rawPath", http.get("path", "/"))
    else:
        return None
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        return HttpRequest(method, path, base64.b64decode(body, validate=True))
    return HttpRequest(method, path, body.encode())


def http_answer(status: int, body: bytes, *, kind: str = "application/json") -> dict[str, Any]:
    """Give the answer to a request, in the form that all of them understand."""
    return {
        "statusCode": status,
        "headers": {"content-type": kind},
        "body": body.decode(),
        "isBase64Encoded": False,
    }


def kafka_records(event: Event) -> Iterator[KafkaRecord] | None:
    """Give the records of an event, in the order of each partition; None if it is another kind."""
    if event.get("eventSource") not in KAFKA_SOURCES:
        return None
    return (
        KafkaRecord(
            record["topic"],
            # MSK gives a number, a broker of one's own text.
            Offset(partition=int(record["partition"]), offset=int(record["offset"])),
            None if record.get("value") is None else base64.b64decode(record["value"]),
        )
        for records in event["records"].values()
        for record in records
    )


def sqs_messages(event: Event) -> list[SqsMessage] | None:
    """Give the messages of an event; None if the event is of another kind."""
    records = event.get("Records")
    if not records or any(record.get("eventSource") != SQS_SOURCE for record in records):
        return None
    return [SqsMessage(record["messageId"], record["body"]) for record in records]
