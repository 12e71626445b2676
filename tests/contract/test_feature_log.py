"""One suite for every `FeatureLog`: the one in memory of the unit tests, and Kafka."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Protocol

import pytest
from confluent_kafka import Producer

from schemas.decision import Offset
from scoring.core.ports import FeatureLog
from scoring.stores.feature_log import GAP_MAX, KafkaFeatureLog
from tests.scoring_fakes import MemoryFeatureLog
from tests.services import Services

COUNT = 2 * GAP_MAX + 20
"""Rows of partition 0; partition 1 has one."""


class Connect(Protocol):
    """Opens a log that holds the rows of this module."""

    def __call__(self) -> FeatureLog: ...


def value(partition: int, offset: int) -> bytes:
    return b"%d-%d" % (partition, offset)


@pytest.fixture(scope="module")
def topic(kafka: Services) -> str:
    name = kafka.new_topic("rows", partitions=2)
    producer = Producer({"bootstrap.servers": kafka.kafka_bootstrap})
    for offset in range(COUNT):
        producer.produce(name, value(0, offset), partition=0)
    producer.produce(name, value(1, 0), partition=1)
    assert producer.flush(30) == 0
    return name


@pytest.fixture(params=["memory", "kafka"])
def connect(request: pytest.FixtureRequest) -> Connect:
    if request.param == "memory":
        log = MemoryFeatureLog()
        places = [Offset(0, offset) for offset in range(COUNT)] + [Offset(1, 0)]
        log.rows = {place: value(place.partition, place.offset) for place in places}
        return lambda: log
    services: Services = request.getfixturevalue("kafka")
    topic: str = request.getfixturevalue("topic")
    return lambda: KafkaFeatureLog(bootstrap=services.kafka_bootstrap, topic=topic)


def read(connect: Connect, *batches: Sequence[Offset]) -> list[dict[Offset, bytes]]:
    async def scenario() -> list[dict[Offset, bytes]]:
        log = connect()
        try:
            return [await log.read(places) for places in batches]
        finally:
            log.close()

    return asyncio.run(scenario())


def test_rows_are_read_by_their_places_in_any_order_near_and_far(connect: Connect) -> None:
    places = [Offset(0, COUNT - 1), Offset(0, 3), Offset(1, 0), Offset(0, 3), Offset(0, 4)]
    expected = {place: value(place.partition, place.offset) for place in places}
    assert read(connect, places, places[:1]) == [expected, {places[0]: expected[places[0]]}]


def test_a_place_without_a_row_is_left_out(connect: Connect) -> None:
    beyond, there = Offset(0, COUNT + 5), Offset(1, 0)
    assert read(connect, [beyond, there], [Offset(7, 0)]) == [{there: b"1-0"}, {}]


def test_no_places_are_no_read(connect: Connect) -> None:
    assert read(connect, []) == [{}]


def test_without_a_broker_nothing_is_read_and_nothing_is_raised() -> None:
    log = KafkaFeatureLog(bootstrap="127.0.0.1:1", topic=uuid.uuid4().hex)
    assert read(lambda: log, [Offset(0, 0)]) == [{}]
