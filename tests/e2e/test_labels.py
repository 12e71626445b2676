"""Labels in the whole system: a wrong merchant is corrected and counts; decisions name theirs."""

from __future__ import annotations

import time
import uuid
from typing import Any

import orjson
import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner

from infra.cli.main import app
from schemas import topics
from schemas.settings import environment_of
from tests.services import Services
from tests.topic_tail import by_transaction, tail
from tests.traffic import live_transaction, now_ms

DAY_MS = 86_400_000
ANSWER_MS_MAX = 60_000
CORRECTED_MS_MAX = 150_000
"""The archiver commits every 10 s, and then the label checker looks."""
RATE = "merchant_fraud_rate_1d_delay_7d"


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex[:8]


def send(services: Services, topic: str, key: str, *events: dict[str, Any]) -> None:
    producer = KafkaProducer(bootstrap_servers=services.kafka_bootstrap)
    for event in events:
        producer.send(topic, key=event[key].encode(), value=orjson.dumps(event)).get(20)
    producer.close()


def decided(services: Services, *events: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Send transactions; gives their decisions by id."""
    ids = {event["transaction_id"] for event in events}
    with tail(services.kafka_bootstrap, topics.DECISIONS) as decisions:
        send(services, topics.TRANSACTIONS, "user_id", *events)
        decisions.until(
            lambda _: len(by_transaction(decisions, ids)) == len(ids), within_ms=ANSWER_MS_MAX
        )
        return {key: found[0][1] for key, found in by_transaction(decisions, ids).items()}


def rate_a_week_later(services: Services, prefix: str, merchant_id: str, time_ms: int) -> float:
    """The merchant's fraud rate as of a week after a time; asks until the label has arrived."""
    until_s = time.monotonic() + ANSWER_MS_MAX / 1_000
    for number in range(1_000):
        event = live_transaction(
            f"{prefix}-after-{merchant_id}",
            number,
            merchant_id=merchant_id,
            event_time_ms=time_ms + 7 * DAY_MS + number,
        )
        rate: float = decided(services, event)[event["transaction_id"]]["features"][RATE]
        if rate or time.monotonic() > until_s:
            return rate
    return 0.0


def test_a_label_with_the_wrong_merchant_counts_for_the_right_one(
    weir_stack: Services, prefix: str
) -> None:
    time_ms = now_ms() - 8 * DAY_MS
    right, other = f"{prefix}-right", f"{prefix}-other"
    events = [
        live_transaction(prefix, number, merchant_id=right, event_time_ms=time_ms + number)
        for number in range(2)
    ]
    found = decided(weir_stack, *events)
    assert {decision["merchant_id"] for decision in found.values()} == {right}
    label = {
        "transaction_id": events[0]["transaction_id"],
        "merchant_id": other,
        "event_time_ms": time_ms,
        "observed_time_ms": time_ms + 1_000,
        "is_fraud": True,
    }
    with tail(weir_stack.kafka_bootstrap, topics.LABELS) as labels:
        send(weir_stack, topics.LABELS, "merchant_id", label)
        ids = {label["transaction_id"]}
        labels.until(
            lambda _: len(by_transaction(labels, ids).get(label["transaction_id"], ())) == 2,
            within_ms=CORRECTED_MS_MAX,
        )
        (wrong, _), (record, corrected) = by_transaction(labels, ids)[label["transaction_id"]]
    assert corrected == {**label, "merchant_id": right}
    assert record.key == right.encode()
    place = f"labels-{wrong.partition}@{wrong.offset}".encode()
    assert topics.read_header(record.headers, topics.HEADER_CORRECTS) == place
    assert rate_a_week_later(weir_stack, prefix, right, time_ms + 1) == 0.5


def test_weir_label_reports_what_the_stream_decided(weir_stack: Services, prefix: str) -> None:
    event = live_transaction(prefix, 0)
    decided(weir_stack, event)
    environment = {**environment_of(weir_stack.settings), "COLUMNS": "300"}
    with tail(weir_stack.kafka_bootstrap, topics.LABELS) as labels:
        result = CliRunner(env=environment).invoke(
            app, ["label", event["transaction_id"], "--fraud", "--by", "the test"]
        )
        assert result.exit_code == 0, result.output
        ids = {event["transaction_id"]}
        labels.until(lambda _: bool(by_transaction(labels, ids)), within_ms=ANSWER_MS_MAX)
        ((_, label),) = by_transaction(labels, ids)[event["transaction_id"]]
    assert (label["merchant_id"], label["event_time_ms"], label["is_fraud"]) == (
        event["merchant_id"],
        event["event_time_ms"],
        True,
    )
