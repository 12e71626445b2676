"""Reads one topic on and on from known offsets, and knows the offsets after what it has given.

For readers that store their offsets themselves, beside what they have computed. `TopicTail` is for
those that store none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, cast

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from clients.kafka import ConsumerOwner, open_consumer, to_record, unreachable
from clients.kafka_log import offset_ranges
from clients.log_record import Record
from clients.topic_description import NewPartitions

QUEUE_BYTES_MAX: Final = 4 * 1024 * 1024
"""How much the client may fetch ahead, bytes."""
_OUT_OF_RANGE: Final = frozenset(
    {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}  # noqa: SLF001 - its name
)


class LogCursor(ConsumerOwner):
    """A place in a topic; a context manager. For one thread.

    New partitions are read from their first record on. Records that Kafka has deleted before they
    were read are left out and counted.

    Attributes:
        positions: the offset after the last record given, by partition.
        deleted: offsets that were deleted before they were read.
    """

    def __init__(
        self, bootstrap: str, topic: str, positions: Mapping[int, int], *, fetch_wait_ms: int = 100
    ) -> None:
        """Start at these offsets; a partition that is not named starts at its first record.

        Raises:
            KafkaUnreachableError: no answer, or the topic is missing.
        """
        self._bootstrap = bootstrap
        self._topic = topic
        self.positions = dict(positions)
        self.deleted = 0
        self._at_end: set[int] = set()
        self._was_at_end: set[int] = set()
        self._latest_ms: dict[int, int] = {}
        self._assigned: set[int] | None = None
        self._skip_deleted()
        self._new_partitions = NewPartitions(bootstrap, {topic: list(self.positions)})
        self._consumer = open_consumer(
            bootstrap,
            fetch_wait_ms=fetch_wait_ms,
            queue_bytes_max=QUEUE_BYTES_MAX,
            tells_ends=True,
        )

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def is_at_end(self, partition: int | None = None) -> bool:
        """Say whether everything that a partition, or all, had a moment ago has been given."""
        if partition is not None:
            return partition in self._at_end
        return self._at_end.issuperset(self.positions)

    @property
    def was_at_end(self) -> bool:
        """Whether each partition has been read to its end since the cursor was opened."""
        return self._was_at_end.issuperset(self.positions)

    def read_until_ms(self, *, now_ms: int) -> int | None:
        """Give a time up to which the topic has been read; None while it is far behind.

        A topic that is written all the time is never at its end; then Kafka's timestamp of the last
        record that was given tells.

        Args:
            now_ms: the clock before the last `take`, ms since 1970 UTC.
        """
        if not self.was_at_end:
            return None
        behind = self.positions.keys() - self._at_end
        return min([now_ms, *(self._latest_ms.get(partition, 0) for partition in behind)])

    def take(
        self,
        count_max: int,
        timeout_s: float,
        *,
        without: Collection[int] = (),
        values_only: bool = True,
    ) -> list[Record]:
        """Give what comes next.

        Blocks: until there are ``count_max`` records, at most ``timeout_s``.

        Args:
            count_max: most records.
            timeout_s: longest wait, s.
            without: partitions that are not read now.
            values_only: leave out headers and keys; see `clients.kafka.to_record`.

        Raises:
            KafkaUnreachableError: the broker refuses.
        """
        for _, partition in self._new_partitions.found():
            self.positions.setdefault(partition, 0)
        self._assign(set(self.positions) - set(without))
        try:
            messages = self._consumer.consume(count_max, timeout_s) if self._assigned else []
        except KafkaException as error:
            raise unreachable(self._bootstrap, error) from error
        found = []
        for message in messages:
            partition = cast(int, message.partition())
            failure = message.error()
            if failure is None:
                self._at_end.discard(partition)
                self.positions[partition] = cast(int, message.offset()) + 1
                self._latest_ms[partition] = message.timestamp()[1]
                found.append(to_record(message, values_only=values_only))
            elif failure.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                # The log may lack its last offsets, for example those of aborted records.
                end = cast(int, message.offset())
                self.positions[partition] = max(self.positions[partition], end)
                self._at_end.add(partition)
                self._was_at_end.add(partition)
            elif failure.code() in _OUT_OF_RANGE:
                self._skip_deleted()
                self._assigned = None
            else:
                raise unreachable(self._bootstrap, failure)
        return found

    def _assign(self, wanted: set[int]) -> None:
        if wanted == self._assigned:
            return
        self._assigned = wanted
        self._consumer.assign(
            [
                TopicPartition(self._topic, partition, self.positions[partition])
                for partition in sorted(wanted)
            ]
        )

    def _skip_deleted(self) -> None:
        for partition, range_ in offset_ranges(self._bootstrap, self._topic)[self._topic].items():
            position = self.positions.setdefault(partition, range_.first)
            if position < range_.first:
                self.deleted += range_.first - position
                self.positions[partition] = range_.first
