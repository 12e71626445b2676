"""The programs of docs/producers.md and of the README, run as a producer's team would run them.

Against a real broker. What answers (decisions, dead letters) is written here, in the bytes the
services write; that the services do write it is for tests/e2e to show.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from infra.local.topics import create_topics
from schemas import codec, output_codec, topics
from schemas.dead_letter import dead_letter_headers
from schemas.errors import InvalidEventError
from tests.builders import DECISION, LIMITS, transaction_object
from tests.house.pages import REPO
from tests.services import Services
from tests.topic_tail import Tail, tail
from tests.traffic import live_transaction, now_ms

EXAMPLES = REPO / "docs" / "examples"
ANSWER_MS_MAX = 30_000
PROGRAM_S_MAX = 60


@pytest.fixture
def bootstrap(kafka: Services) -> str:
    """A broker with Weir's topics."""
    create_topics(kafka.kafka_bootstrap, 4)
    return kafka.kafka_bootstrap


@pytest.fixture
def producer(bootstrap: str) -> Iterator[KafkaProducer]:
    client = KafkaProducer(bootstrap_servers=bootstrap)
    yield client
    client.close()


def run(command: list[str], bootstrap: str) -> str:
    """Run a program and give what it printed; a program that fails shows why."""
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=PROGRAM_S_MAX,
        env={**os.environ, "WEIR_KAFKA_BOOTSTRAP": bootstrap},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def example(name: str, *arguments: str) -> list[str]:
    interpreter = sys.executable if name.endswith(".py") else "sh"
    return [interpreter, str(EXAMPLES / name), *arguments]


def new_id() -> str:
    return uuid.uuid4().hex


def decision_about(transaction_id: str) -> bytes:
    return output_codec.encode_decision(replace(DECISION, transaction_id=transaction_id))


def read_everything_so_far(bootstrap: str, *, group: str) -> None:
    """Let a group go on at the end of the decisions: other tests have written thousands."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    places = [
        TopicPartition(topics.DECISIONS, number)
        for number in consumer.partitions_for_topic(topics.DECISIONS)
    ]
    consumer.assign(places)
    for place, end in consumer.end_offsets(places).items():
        consumer.seek(place, end)
    consumer.commit()
    consumer.close()


def seen(followed: Tail, transaction_id: str) -> list[Any]:
    wanted = transaction_id.encode()
    followed.until(
        lambda records: any(wanted in (record.value or b"") for record in records),
        within_ms=ANSWER_MS_MAX,
    )
    return [record for record in followed.records if wanted in (record.value or b"")]


def test_the_transaction_it_sends_is_valid_and_keyed_by_its_user(bootstrap: str) -> None:
    transaction_id = new_id()
    with tail(bootstrap, topics.TRANSACTIONS) as transactions:
        printed = run(example("send_transaction.py", transaction_id), bootstrap)
        (record,) = seen(transactions, transaction_id)
    transaction = codec.decode_transaction(
        record.value, limits=LIMITS, now_ms=now_ms(), is_replay=False
    )
    assert transaction.transaction_id == transaction_id
    assert record.key == transaction.user_id.encode()
    assert printed == f"transactions-{record.partition} offset {record.offset}\n"


def test_the_label_it_sends_is_valid_and_keyed_by_its_merchant(bootstrap: str) -> None:
    transaction_id, event_time_ms = new_id(), now_ms() - 60_000
    with tail(bootstrap, topics.LABELS) as labels:
        run(example("send_label.py", transaction_id, "m-9", str(event_time_ms)), bootstrap)
        (record,) = seen(labels, transaction_id)
    label = codec.decode_label(record.value, limits=LIMITS, now_ms=now_ms(), is_replay=False)
    assert (label.transaction_id, label.merchant_id) == (transaction_id, "m-9")
    assert (label.event_time_ms, label.is_fraud) == (event_time_ms, True)
    assert record.key == b"m-9"


def test_it_prints_each_decision_once_though_it_comes_twice(
    bootstrap: str, producer: KafkaProducer
) -> None:
    read_everything_so_far(bootstrap, group="my-service")
    twice, last = new_id(), new_id()
    for transaction_id in (twice, twice, last):
        producer.send(topics.DECISIONS, key=b"u-1", value=decision_about(transaction_id)).get(30)
    printed = run(example("read_decisions.py", last), bootstrap).splitlines()
    assert printed.count(f"{twice} REVIEW 0.75") == 1
    assert printed[-1] == f"{last} REVIEW 0.75"


def test_it_prints_what_was_refused_and_why(bootstrap: str, producer: KafkaProducer) -> None:
    value = f"not json, {new_id()}".encode()
    headers = dead_letter_headers(
        topic=topics.LABELS,
        partition=3,
        offset=41,
        stage="decode",
        error=InvalidEventError(None, "is not JSON"),
    )
    producer.send(topics.DEAD_LETTERS, value=b"another program's").get(30)
    producer.send(topics.DEAD_LETTERS, value=value, headers=headers).get(30)
    printed = run(example("read_dead_letters.py"), bootstrap).splitlines()
    at = printed.index(f"  the record as it came: {value!r}")
    assert printed[at - 1] == "labels-3 offset 41: the value is not JSON"


def test_a_replay_is_sent_in_event_time_order_and_says_that_it_is_one(
    bootstrap: str, tmp_path: Path
) -> None:
    prefix = new_id()
    user_id = f"{prefix}-u"
    ahead_ms = now_ms() + 3_600_000
    events = [
        live_transaction(prefix, number, user_id=user_id, event_time_ms=ahead_ms - number)
        for number in range(3)
    ]
    file = tmp_path / "old.jsonl"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    with tail(bootstrap, topics.TRANSACTIONS) as transactions:
        assert run(example("replay.py", str(file)), bootstrap) == "3 transactions sent again\n"
        seen(transactions, events[0]["transaction_id"])
    sent = [
        codec.decode_transaction(
            record.value,
            limits=LIMITS,
            now_ms=now_ms(),
            is_replay=topics.is_replay(record.headers),
        ).transaction_id
        for record in transactions.records
        if record.key == user_id.encode()
    ]
    assert sent == [event["transaction_id"] for event in reversed(events)]


def test_the_quickstart_prints_the_decision_of_its_own_transaction(
    bootstrap: str, producer: KafkaProducer
) -> None:
    stop = threading.Event()

    def decide_on_what_comes(transactions: Tail) -> None:
        answered = 0
        while not stop.is_set():
            transactions.poll()
            for record in transactions.records[answered:]:
                transaction_id = json.loads(record.value)["transaction_id"]
                producer.send(topics.DECISIONS, value=decision_about(transaction_id)).get(30)
            answered = len(transactions.records)

    with tail(bootstrap, topics.TRANSACTIONS) as transactions:
        answering = threading.Thread(target=decide_on_what_comes, args=[transactions])
        answering.start()
        try:
            printed = run(example("quickstart.py"), bootstrap)
        finally:
            stop.set()
            answering.join()
    decision = output_codec.decode_decision(printed.encode())
    assert str(uuid.UUID(decision.transaction_id)) == decision.transaction_id


def test_the_console_tools_send_a_valid_transaction_and_show_decisions(
    bootstrap: str, producer: KafkaProducer
) -> None:
    transaction_id = new_id()
    producer.send(topics.DECISIONS, key=b"u-7", value=decision_about(new_id())).get(30)
    with tail(bootstrap, topics.TRANSACTIONS) as transactions:
        printed = run(example("console.sh", transaction_id), bootstrap)
        (record,) = seen(transactions, transaction_id)
    transaction = codec.decode_transaction(
        record.value, limits=LIMITS, now_ms=now_ms(), is_replay=False
    )
    assert record.key == transaction.user_id.encode()
    keys = [line.partition("\t")[0] for line in printed.splitlines()]
    assert "u-7" in keys


def test_the_console_tools_show_why_a_record_was_refused(
    bootstrap: str, producer: KafkaProducer
) -> None:
    value = transaction_object(transaction_id=new_id(), amount_minor=-1)
    error = InvalidEventError("amount_minor", "is -1, limit 0")
    headers = dead_letter_headers(
        topic=topics.TRANSACTIONS, partition=0, offset=7, stage="decode", error=error
    )
    producer.send(topics.DEAD_LETTERS, value=json.dumps(value).encode(), headers=headers).get(30)
    printed = run(example("console_dead_letters.sh"), bootstrap)
    line = next(line for line in printed.splitlines() if value["transaction_id"] in line)
    assert "__connect.errors.exception.message:amount_minor is -1, limit 0" in line
