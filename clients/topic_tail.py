"""Follows topics: from their ends as of now, or from given offsets, for as long as wanted.

Partitions that a topic gets meanwhile are followed as well, from their first record on.

Gives the client's own messages, because the callers (the demo, the benchmarks, `weir decisions`
and the tests) differ in what they read of them and the benchmarks count every microsecond.
"""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import OFFSET_BEGINNING, Message, TopicPartition

from clients.kafka import ConsumerOwner, open_consumer, unreachable
from clients.kafka_log import end_offsets
from clients.topic_description import NewPartitions


class TopicTail(ConsumerOwner):
    """What arrives on some topics from now on; a context manager. For one thread."""

    def __init__(
        self,
        bootstrap: str,
        *topics: str,
        start: Mapping[str, Mapping[int, int]] | None = None,
        fetch_wait_ms: int = 100,
        fetch_bytes_min: int = 1,
    ) -> None:
        """Take the ends of the topics; every record after them will be given.

        Args:
            bootstrap: Kafka's address.
            topics: their names.
            start: first offsets by topic and partition; a topic not named starts at its end, a
                partition not named of a named topic at its beginning.
            fetch_wait_ms: see `clients.kafka.open_consumer`.
            fetch_bytes_min: see there; by default a record is given as soon as it arrives.

        Raises:
            KafkaUnreachableError: no answer, or a topic is missing.
        """
        self._bootstrap = bootstrap
        first = {topic: dict(end_offsets(bootstrap, topic)) for topic in topics}
        for topic, offsets in (start or {}).items():
            first[topic] = {**dict.fromkeys(first[topic], OFFSET_BEGINNING), **offsets}
        self._new_partitions = NewPartitions(bootstrap, first)
        self._consumer = open_consumer(
            bootstrap, fetch_wait_ms=fetch_wait_ms, fetch_bytes_min=fetch_bytes_min
        )
        self._consumer.assign(
            [
                TopicPartition(topic, partition, offset)
                for topic, offsets in first.items()
                for partition, offset in offsets.items()
            ]
        )

    def poll(self, timeout_s: float) -> Message | None:
        """Give the next record as soon as it arrives; None if none does in time.

        Raises:
            KafkaUnreachableError: the broker refuses, or a record can no longer be read.
        """
        self._follow_growth()
        message = self._consumer.poll(timeout_s)
        if message is not None and (error := message.error()) is not None:
            raise unreachable(self._bootstrap, error)
        return message

    def consume(self, count_max: int, timeout_s: float) -> list[Message]:
        """Give what has arrived; waits until ``count_max`` have, or the time is over.

        Raises:
            KafkaUnreachableError: as `poll`.
        """
        self._follow_growth()
        messages: list[Message] = self._consumer.consume(count_max, timeout_s)
        for message in messages:
            if (error := message.error()) is not None:
                raise unreachable(self._bootstrap, error)
        return messages

    def _follow_growth(self) -> None:
        news = self._new_partitions.found()
        if news:
            self._consumer.incremental_assign(
                [TopicPartition(topic, partition, OFFSET_BEGINNING) for topic, partition in news]
            )
