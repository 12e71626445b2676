"""Which errors of Kafka's client are tried again."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from clients import kafka
from clients.errors import KafkaUnreachableError


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "_RETRY_S", 0.001)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    ],
)
def test_an_error_of_a_broker_that_has_just_started_is_tried_again(code: int) -> None:
    errors = [KafkaError(code), KafkaError(code)]

    def request() -> str:
        if errors:
            raise KafkaException(errors.pop())
        return "answered"

    assert kafka.with_retries("127.0.0.1:1", request) == "answered"


def test_an_error_that_does_not_pass_ends_the_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "ANSWER_S_MAX", 0.01)

    def request() -> str:
        raise KafkaException(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS))

    with pytest.raises(KafkaUnreachableError, match="Coordinator load in progress"):
        kafka.with_retries("127.0.0.1:1", request)


def test_a_permanent_error_is_not_tried_again() -> None:
    asked = []

    def request() -> str:
        asked.append(1)
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    with pytest.raises(KafkaUnreachableError):
        kafka.with_retries("127.0.0.1:1", request)
    assert asked == [1]
