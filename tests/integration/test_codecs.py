"""Kafka's codecs on a real broker: what a producer or a setting compresses, every client reads.

What compresses in practice: librdkafka, a Python library, and the broker itself, which compresses
again when the setting ``compression.type`` of a topic says so. They frame snappy and lz4
differently. The readers are the clients that this repository uses.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioPartition
from confluent_kafka import Producer
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from clients.kafka_log import read_log
from clients.topic_tail import TopicTail
from infra.local.codecs import CODECS
from infra.local.topics import create_topics
from schemas.codec import encode_transaction
from schemas.output_codec import encode_feature_row
from schemas.topics import TRANSACTIONS
from tests.builders import transaction
from tests.java_program import printed
from tests.scorer_bench import Bench, scorer_bench, wait_for
from tests.scoring_fakes import feature_row
from tests.services import Services, unique_name
from tests.topic_settings import set_topic
from training.archive.archiver import archive_to_end
from training.archive.compare import compare_with_log

MIB = 1024 * 1024
WAIT_S = 10.0
NAMES = ("none", *CODECS)
JAVA_READER = Path(__file__).with_name("ReadValues.java")

Read = Callable[[str, str], list[bytes]]


def values() -> list[bytes]:
    """Small, long enough for several blocks of a codec, incompressible, and 3 MiB of one byte."""
    drawn = random.Random(16)
    return [b"x", b"0123456789" * 20_000, drawn.randbytes(300_000), b"y" * 3 * MIB, b"end"]


def write(bootstrap: str, topic: str, codec: str) -> None:
    """Write the values as librdkafka, as kafka-python, and as the broker compresses them."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "compression.type": codec, "message.max.bytes": 10 * MIB}
    )
    for value in values():
        producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0
    python = KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
        max_request_size=10 * MIB,
    )
    for value in values():
        python.send(topic, value)
    python.flush()
    python.close()
    set_topic(bootstrap, topic, {"compression.type": "uncompressed" if codec == "none" else codec})
    plain = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 10 * MIB})
    for value in values():
        plain.produce(topic, value, partition=0)
    assert plain.flush(30) == 0


@pytest.fixture(scope="module")
def compressed(kafka: Services) -> Mapping[str, str]:
    """A topic for each codec, with the values of every writer; by the codec's name."""
    topics = {codec: kafka.new_topic(codec) for codec in NAMES}
    for codec, topic in topics.items():
        set_topic(kafka.kafka_bootstrap, topic, {"max.message.bytes": str(10 * MIB)})
        write(kafka.kafka_bootstrap, topic, codec)
    return topics


def by_log(bootstrap: str, topic: str) -> list[bytes]:
    return [record.value or b"" for record in read_log(bootstrap, topic)]


def by_tail(bootstrap: str, topic: str) -> list[bytes]:
    wanted = 3 * len(values())
    with TopicTail(bootstrap, topic, start={topic: {0: 0}}) as tail:
        return [message.value() for message in tail.consume(wanted, WAIT_S)]


def by_kafka_python(bootstrap: str, topic: str) -> list[bytes]:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        consumer_timeout_ms=int(WAIT_S * 1_000),
    )
    consumer.assign([TopicPartition(topic, 0)])
    try:
        return [next(consumer).value for _ in range(3 * len(values()))]
    finally:
        consumer.close()


def by_aiokafka(bootstrap: str, topic: str) -> list[bytes]:
    async def read() -> list[bytes]:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
        await consumer.start()
        try:
            place = AioPartition(topic, 0)
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            async with asyncio.timeout(WAIT_S):
                return [(await consumer.getone()).value for _ in range(3 * len(values()))]
        finally:
            await consumer.stop()

    return asyncio.run(read())


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize("read", [by_log, by_tail, by_kafka_python, by_aiokafka])
def test_every_python_client_reads_every_codec(
    kafka: Services, compressed: Mapping[str, str], read: Read, codec: str
) -> None:
    assert read(kafka.kafka_bootstrap, compressed[codec]) == values() * 3


def test_the_client_of_flinks_connector_reads_every_codec(
    kafka: Services, compressed: Mapping[str, str]
) -> None:
    count = str(3 * len(values()))
    arguments = (kafka.kafka_bootstrap, count, *compressed.values())
    lines = printed(JAVA_READER, *arguments, timeout_s=120)
    expected = [
        f"{topic} {len(value)} {zlib.crc32(value)}"
        for topic in compressed.values()
        for value in values() * 3
    ]
    assert lines == expected


def test_the_archiver_reads_every_codec(kafka: Services, tmp_path: Path) -> None:
    bootstrap = kafka.kafka_bootstrap
    create_topics(bootstrap, kafka.settings.topic_partitions)
    changes = {"archive_url": str(tmp_path / "archive")}
    settings = kafka.settings.model_copy(update=changes)
    archive_to_end(settings)
    before = compare_with_log(settings, TRANSACTIONS).rows
    for codec in CODECS:
        producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec})
        event = transaction(transaction_id=unique_name(codec), user_id=codec)
        producer.produce(TRANSACTIONS, encode_transaction(event), codec)
        producer.produce(TRANSACTIONS, b"junk" * 1_000, codec)
        assert producer.flush(30) == 0
    archive_to_end(settings)
    compared = compare_with_log(settings, TRANSACTIONS)
    assert compared.is_equal
    assert compared.rows == before + 2 * len(CODECS)


@pytest.fixture
def bench(kafka: Services, redis_server: Services, tmp_path: Path) -> Bench:
    return scorer_bench(kafka, redis_server, tmp_path)


def test_the_scorer_decides_rows_of_every_codec_whatever_its_topics_are_set_to(
    bench: Bench,
) -> None:
    bootstrap, channels = bench.settings.kafka_bootstrap, bench.channels
    ids = bench.ids(2 * len(CODECS))
    with bench.decisions() as decisions, bench.worker():
        for at, codec in enumerate(CODECS):
            row, recompressed = (
                encode_feature_row(feature_row(id_)) for id_ in ids[2 * at : 2 * at + 2]
            )
            producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec})
            producer.produce(channels.features, row, codec)
            assert producer.flush(30) == 0
            for topic in (channels.features, channels.decisions):
                set_topic(bootstrap, topic, {"compression.type": codec})
            plain = Producer({"bootstrap.servers": bootstrap})
            plain.produce(channels.features, recompressed, codec)
            assert plain.flush(30) == 0
        found = wait_for(decisions, ids)
    assert {len(decided) for decided in found.values()} == {1}
