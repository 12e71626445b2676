"""Reads topics as logs: from the beginning, or from given offsets, to the end.

The end is that of the moment when reading began. confluent-kafka: it read 271,000 records/s where
kafka-python read 14,000 on the same 2 cores. Called by parity, training, the comparison of the
archive with its logs, and the commands that export a topic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final, NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, TopicPartition

from clients.kafka import (
    ANSWER_S_MAX,
    ConsumerOwner,
    open_consumer,
    to_record,
    topic_partitions,
    unreachable,
    with_retries,
)
from clients.log_record import Record

_POLL_S: Final = 0.05
"""Longest wait for a batch, s. Offsets without a record, such as the markers of transactions, let
the last batch of a range wait for as long."""
_BATCH_MAX: Final = 2_000
_EMPTY_POLLS_MAX: Final = 600
"""How many polls in a row may bring no record before the end of a partition: half a minute."""


class OffsetRange(NamedTuple):
    """The offsets of a partition: the first record's, and the one after the last record's."""

    first: int
    end: int


class TopicLog(ConsumerOwner):
    """Reads ranges of one topic's partitions with one consumer; a context manager.

    Attributes:
        ranges: the offsets of each partition when the log was opened.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        """Ask for the offsets and open a consumer.

        Raises:
            KafkaUnreachableError: no answer, or the topic is missing.
        """
        self._bootstrap = bootstrap
        self._topic = topic
        self.ranges = offset_ranges(bootstrap, topic)[topic]
        self._consumer = open_consumer(bootstrap, tells_ends=True)

    def read(
        self, partition: int, *, first: int, end: int, values_only: bool = False
    ) -> Iterator[Record]:
        """Read the records of a partition from offset ``first`` up to, not including, ``end``.

        Blocks: up to half a minute for the next record.

        Args:
            partition: of the topic.
            first: the first offset to read.
            end: the offset after the last one to read.
            values_only: leave out headers and keys; see `clients.kafka.to_record`.

        Raises:
            KafkaUnreachableError: no answer, or no record for half a minute before ``end``.
        """
        self._consumer.assign([TopicPartition(self._topic, partition, first)])
        following = first
        empty_polls = 0
        while (left := end - following) > 0:
            # At most as many as there are: `consume` waits until it has as many as it is asked for.
            messages = self._consumer.consume(min(left, _BATCH_MAX), _POLL_S)
            empty_polls = 0 if messages else empty_polls + 1
            if empty_polls > _EMPTY_POLLS_MAX:
                raise unreachable(
                    self._bootstrap,
                    f"{self._topic} partition {partition} gave no record for "
                    f"{_EMPTY_POLLS_MAX * _POLL_S:.0f} s and ends at offset {end}",
                )
            for message in messages:
                offset = cast(int, message.offset())
                error = message.error()
                if error is None:
                    following = offset + 1
                    if offset < end:
                        yield to_record(message, values_only=values_only)
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                    # The log may lack its last offsets, for example those of aborted records.
                    following = max(following, offset)
                else:
                    raise unreachable(self._bootstrap, error)


def read_log(
    bootstrap: str,
    topic: str,
    *,
    start: Mapping[int, int] | None = None,
    values_only: bool = False,
) -> Iterator[Record]:
    """Read a topic up to its end as of now, partition after partition.

    Args:
        bootstrap: Kafka's address.
        topic: its name.
        start: first offset by partition; other partitions are read from their beginning.
        values_only: leave out headers and keys; see `clients.kafka.to_record`.

    Yields:
        Records of one partition in offset order, then those of the next.

    Raises:
        KafkaUnreachableError: no answer, the topic is missing, or a partition fell silent before
            its end.
    """
    with TopicLog(bootstrap, topic) as log:
        for partition, (first, end) in sorted(log.ranges.items()):
            first_wanted = max(first, (start or {}).get(partition, first))
            yield from log.read(partition, first=first_wanted, end=end, values_only=values_only)


def offset_ranges(bootstrap: str, *topics: str) -> dict[str, dict[int, OffsetRange]]:
    """Give the offsets of the partitions of topics, by topic and partition.

    Raises:
        KafkaUnreachableError: no answer, or a topic is missing.
    """
    partitions = topic_partitions(bootstrap, topics)
    consumer = open_consumer(bootstrap)
    try:
        return {
            topic: {
                partition: with_retries(bootstrap, partial(_range_of, consumer, topic, partition))
                for partition in partitions[topic]
            }
            for topic in topics
        }
    finally:
        consumer.close()


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """Give the offset after the last record, by partition.

    Raises:
        KafkaUnreachableError: no answer, or the topic is missing.
    """
    ranges = offset_ranges(bootstrap, topic)[topic]
    return {partition: range_.end for partition, range_ in ranges.items()}


def offsets_at(bootstrap: str, topic: str, *, time_ms: int) -> dict[int, int]:
    """Give, by partition, the first offset whose record has Kafka's timestamp ``time_ms`` or later.

    Args:
        bootstrap: Kafka's address.
        topic: its name.
        time_ms: ms since 1970 UTC.

    Returns:
        The end of a partition that has no such record.

    Raises:
        KafkaUnreachableError: no answer, or the topic is missing.
    """
    # Asked first: what comes between the two questions is at or after this end.
    ends = end_offsets(bootstrap, topic)
    consumer = open_consumer(bootstrap)
    places = [TopicPartition(topic, partition, time_ms) for partition in ends]
    try:
        found = with_retries(
            bootstrap, partial(consumer.offsets_for_times, places, timeout=ANSWER_S_MAX)
        )
    finally:
        consumer.close()
    return {
        place.partition: place.offset if place.offset >= 0 else ends[place.partition]
        for place in found
    }


def _range_of(consumer: Consumer, topic: str, partition: int) -> OffsetRange:
    place = TopicPartition(topic, partition)
    return OffsetRange(*consumer.get_watermark_offsets(place, timeout=ANSWER_S_MAX))
