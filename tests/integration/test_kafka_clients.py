"""The shared readers of Kafka on a real broker: whole logs, ranges, tails, and a missing broker."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from clients.errors import KafkaUnreachableError
from clients.kafka import to_record, topic_partitions
from clients.kafka_log import TopicLog, end_offsets, offset_ranges, read_log
from clients.log_record import Record
from clients.topic_tail import TopicTail
from tests.services import Services

NOBODY = "127.0.0.1:1"
ARRIVES_S = 10.0


class Topic:
    """A topic of the test's own, with a producer that names partitions."""

    def __init__(self, kafka: Services, partitions: int) -> None:
        self.bootstrap = kafka.kafka_bootstrap
        self.name = kafka.new_topic(partitions=partitions)
        self._producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def send(self, *values: bytes | None, partition: int = 0) -> None:
        for value in values:
            self._producer.produce(
                self.name,
                value,
                b"key",
                partition,
                timestamp=1_700_000_000_000,
                headers=[("trace", b"\x00\xff"), ("empty", None)],
            )
        assert self._producer.flush(30) == 0


@pytest.fixture
def topic(kafka: Services) -> Topic:
    return Topic(kafka, partitions=2)


def values_of(records: list[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def test_a_log_is_read_to_its_end_partition_after_partition(topic: Topic) -> None:
    topic.send(b"b0", b"b1", partition=1)
    topic.send(b"a0", None, b"a2", partition=0)
    records = list(read_log(topic.bootstrap, topic.name))
    assert values_of(records) == [b"a0", None, b"a2", b"b0", b"b1"]
    headers = [("trace", b"\x00\xff"), ("empty", None)]
    assert records[0] == Record(0, 0, 1_700_000_000_000, b"a0", headers, b"key")
    assert [(each.partition, each.offset) for each in records] == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 1),
    ]  # fmt: skip


def test_values_only_leaves_out_headers_and_keys(topic: Topic) -> None:
    topic.send(b"a0")
    records = list(read_log(topic.bootstrap, topic.name, values_only=True))
    assert records == [Record(0, 0, 1_700_000_000_000, b"a0")]


def test_an_empty_log_ends_at_once(topic: Topic) -> None:
    assert list(read_log(topic.bootstrap, topic.name)) == []
    assert end_offsets(topic.bootstrap, topic.name) == {0: 0, 1: 0}


def test_partitions_that_are_named_are_read_from_their_offset(topic: Topic) -> None:
    topic.send(b"a0", b"a1", b"a2", partition=0)
    topic.send(b"b0", partition=1)
    read = list(read_log(topic.bootstrap, topic.name, start={0: 2}))
    assert values_of(read) == [b"a2", b"b0"]
    assert values_of(list(read_log(topic.bootstrap, topic.name, start={0: 3, 1: 7}))) == []


def test_what_arrives_while_a_log_is_read_is_left_for_the_next_time(topic: Topic) -> None:
    topic.send(b"a0", b"a1")
    reading = read_log(topic.bootstrap, topic.name)
    first = next(reading)
    topic.send(b"a2")
    assert values_of([first, *reading]) == [b"a0", b"a1"]


def test_a_range_of_a_partition_is_read_without_its_end(topic: Topic) -> None:
    topic.send(*(b"%d" % number for number in range(10)))
    with TopicLog(topic.bootstrap, topic.name) as log:
        assert log.ranges == {0: (0, 10), 1: (0, 0)}
        assert values_of(list(log.read(0, first=3, end=6))) == [b"3", b"4", b"5"]
        assert values_of(list(log.read(0, first=0, end=1))) == [b"0"]
        assert list(log.read(0, first=6, end=6)) == []


def test_a_tail_gives_what_arrives_after_it_was_opened(topic: Topic) -> None:
    topic.send(b"before")
    with TopicTail(topic.bootstrap, topic.name) as tail:
        topic.send(b"after")
        message = tail.poll(ARRIVES_S)
        assert message is not None
        assert to_record(message).value == b"after"
        assert tail.poll(0.1) is None
        topic.send(b"one", b"two")
        assert values_of([to_record(each) for each in tail.consume(2, ARRIVES_S)]) == [
            b"one",
            b"two",
        ]


def test_a_tail_may_start_at_given_offsets(topic: Topic) -> None:
    topic.send(b"a0", b"a1")
    with TopicTail(topic.bootstrap, topic.name, start={topic.name: {0: 1, 1: 0}}) as tail:
        message = tail.poll(ARRIVES_S)
        assert message is not None
        assert to_record(message).value == b"a1"


def test_an_offset_that_is_not_in_the_log_is_an_error_and_no_silence(topic: Topic) -> None:
    topic.send(b"a0")
    refused = pytest.raises(KafkaUnreachableError, match="WEIR_KAFKA_BOOTSTRAP")
    with TopicTail(topic.bootstrap, topic.name, start={topic.name: {0: 99}}) as tail, refused:
        tail.poll(ARRIVES_S)


def test_a_missing_topic_is_named(kafka: Services) -> None:
    missing = pytest.raises(KafkaUnreachableError, match=r"no topic no-such-topic.*weir up")
    with missing:
        topic_partitions(kafka.kafka_bootstrap, ("no-such-topic",))


def test_without_a_broker_everything_fails_at_once_and_says_what_to_do() -> None:
    for ask in (
        lambda: list(read_log(NOBODY, "t")),
        lambda: end_offsets(NOBODY, "t"),
        lambda: offset_ranges(NOBODY, "t"),
        lambda: TopicTail(NOBODY, "t"),
        lambda: TopicLog(NOBODY, "t"),
    ):
        with pytest.raises(KafkaUnreachableError, match=r"127\.0\.0\.1:1 .*weir up"):
            ask()


def test_an_address_without_a_port_is_refused_with_the_form_it_needs() -> None:
    with pytest.raises(KafkaUnreachableError, match=r"write host:port"):
        topic_partitions("localhost:port", ("t",))
