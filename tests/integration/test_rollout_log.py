"""The log of rollouts on a real Kafka: who wins a revision, and what changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Producer

from clients.errors import KafkaUnreachableError
from schemas.rollout import RolloutChange
from schemas.rollout_codec import encode_rollout_change
from schemas.topics import LABEL_TYPE, cloud_event_headers
from scoring.core.errors import RolloutConflictError
from scoring.core.rollout_changes import aborted, paused
from scoring.stores.rollout_log import RolloutLog
from tests.rollout_steps import NOW_MS, author, start
from tests.services import Services

WRITERS = 4


@pytest.fixture
def log(kafka: Services) -> RolloutLog:
    topic = kafka.new_topic("rollouts")
    return RolloutLog(kafka.kafka_bootstrap, source="/test", topic=topic)


def send(log: RolloutLog, value: bytes | None, event_type: str = "") -> None:
    """Write a record that no writer of Weir's writes."""
    producer = Producer({"bootstrap.servers": log._bootstrap})
    headers = cloud_event_headers(event_type=event_type, event_id="x", source="/x", time_ms=NOW_MS)
    producer.produce(log._topic, value, partition=0, headers=headers if event_type else None)
    assert producer.flush(10) == 0


def test_what_is_written_is_read(log: RolloutLog) -> None:
    first = start("r-1")
    second = paused(first.rollout, author(reason="lunch"))
    log.write(first)
    log.write(second)
    history = log.read()
    assert history.changes("r-1") == [first, second]
    assert history.active("weir-fraud") == second


def test_of_several_writers_of_a_revision_one_succeeds_and_the_others_are_told(
    log: RolloutLog,
) -> None:
    first = start("r-1")
    log.write(first)
    asked = [paused(first.rollout, author(name=f"writer-{at}")) for at in range(WRITERS)]

    def write(change: RolloutChange) -> str | None:
        try:
            log.write(change)
        except RolloutConflictError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(WRITERS) as writers:
        told = list(writers.map(write, asked))
    assert told.count(None) == 1
    (refusal,) = {text for text in told if text is not None}
    assert refusal.startswith("the change of rollout r-1 does not count: revision is 2, must be 3")
    newest = log.read().newest("r-1")
    assert newest == asked[told.index(None)]


def test_a_second_active_rollout_is_refused_and_nothing_of_it_counts(log: RolloutLog) -> None:
    log.write(start("r-1"))
    with pytest.raises(RolloutConflictError, match="whose traffic the rollout r-1 splits"):
        log.write(start("r-2"))
    assert [change.rollout.rollout_id for change in log.read()] == ["r-1"]


def test_records_that_are_no_change_are_named_and_change_nothing(log: RolloutLog) -> None:
    first = start("r-1")
    log.write(first)
    good = encode_rollout_change(aborted(first.rollout, author()))
    send(log, None)
    send(log, b"{")
    send(log, good.replace(b'"aborted"', b'"finished"'))
    send(log, good.replace(b'"share_bp":10000', b'"share_bp":9999'))
    send(log, good, LABEL_TYPE)
    history, ignored = log.read_with_ignored()
    assert history.newest("r-1") == first
    assert [record.offset for record in ignored] == [1, 2, 3, 4, 5]
    assert [record.error.field for record in ignored] == [
        None,
        None,
        "rollout.status",
        "arms",
        "ce_type",
    ]


def test_without_a_broker_the_error_says_so() -> None:
    with pytest.raises(KafkaUnreachableError, match="does not answer"):
        RolloutLog("127.0.0.1:1", source="/test").write(start("r-1"))
