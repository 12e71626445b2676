"""Readers follow a topic that gets partitions while they read it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from clients.kafka_log import end_offsets
from clients.topic_description import LOOK_S, describe_topics
from clients.topic_tail import TopicTail
from operations.parity.sources.logs import LogReader
from schemas.output_codec import encode_feature_row
from tests.scorer_bench import PARTITIONS, Bench, scorer_bench, wait_for
from tests.scoring_fakes import feature_row
from tests.services import Services

ARRIVES_S = 20.0


def grow(bootstrap: str, topic: str, to: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_partitions([NewPartitions(topic, to)])[topic].result()
    while to - 1 not in end_offsets(bootstrap, topic):
        time.sleep(0.05)


def send(bootstrap: str, topic: str, partition: int, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for value in values:
        producer.produce(topic, value, b"k", partition)
    assert producer.flush(30) == 0


@pytest.mark.parametrize("from_offsets", [False, True])
def test_a_tail_gives_every_record_of_a_new_partition(kafka: Services, from_offsets: bool) -> None:
    bootstrap, topic = kafka.kafka_bootstrap, kafka.new_topic()
    send(bootstrap, topic, 0, b"before")
    start = {topic: {0: 1}} if from_offsets else None
    with TopicTail(bootstrap, topic, start=start) as tail:
        grow(bootstrap, topic, 3)
        send(bootstrap, topic, 2, b"one", b"two")
        send(bootstrap, topic, 0, b"after")
        seen: set[bytes | None] = set()
        until_s = time.monotonic() + ARRIVES_S
        while len(seen) < 3 and time.monotonic() < until_s:
            if message := tail.poll(LOOK_S / 10):
                seen.add(message.value())
        send(bootstrap, topic, 1, b"last")
        last = tail.poll(ARRIVES_S)
    assert seen == {b"one", b"two", b"after"}
    assert last is not None
    assert last.value() == b"last"


def test_parity_reads_on_in_the_partitions_that_there_are_then(kafka: Services) -> None:
    bootstrap, topic = kafka.kafka_bootstrap, kafka.new_topic()
    reader = LogReader(bootstrap, topic)
    send(bootstrap, topic, 0, b"a")
    assert [record.value for record in reader.read_on()] == [b"a"]
    grow(bootstrap, topic, 2)
    send(bootstrap, topic, 1, b"b")
    assert [record.value for record in reader.read_on()] == [b"b"]
    assert reader.ends == {0: 1, 1: 1}


def test_a_topic_that_grows_keeps_its_id(kafka: Services) -> None:
    bootstrap, topic = kafka.kafka_bootstrap, kafka.new_topic()
    before = describe_topics(bootstrap, topic)[topic]
    grow(bootstrap, topic, 2)
    grown = describe_topics(bootstrap, topic)[topic]
    other = kafka.new_topic()
    another = describe_topics(bootstrap, other)[other]
    assert (before.partitions, grown.partitions) == ((0,), (0, 1))
    assert before.identity == grown.identity != another.identity
    assert before.identity.cluster_id == another.identity.cluster_id


@pytest.fixture
def bench(kafka: Services, redis_server: Services, tmp_path: Path) -> Bench:
    return scorer_bench(kafka, redis_server, tmp_path)


def test_the_scorer_decides_the_rows_of_a_new_partition(bench: Bench) -> None:
    bootstrap, features = bench.settings.kafka_bootstrap, bench.channels.features
    first, second = bench.ids(10), bench.ids(10, start=100)
    with bench.decisions() as decisions, bench.worker() as worker:
        bench.send_rows(first)
        wait_for(decisions, first)
        grow(bootstrap, features, PARTITIONS + 1)
        rows = [encode_feature_row(feature_row(id_)) for id_ in second]
        send(bootstrap, features, PARTITIONS, *rows)
        began_s = time.monotonic()
        # Sooner than a client asks for metadata by default, which is every five minutes.
        wait_for(decisions, second)
        print(f"decided {time.monotonic() - began_s:.1f} s after they were sent")
        bench.send_rows(bench.ids(10, start=200))
        wait_for(decisions, bench.ids(10, start=200))
        assert worker.terminate() == 0, worker.tail()
