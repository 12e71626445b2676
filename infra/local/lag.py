"""How far the velocity job and the scorer are behind their topics.

Compares the offsets that their consumer groups have committed with the ends of the topics. The job
commits with each checkpoint, the scorer as it goes on, so the job's lag is up to a checkpoint
interval old. Called by `weir status` and `weir doctor`.
"""

from functools import partial
from typing import Final, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from clients.kafka import ANSWER_S_MAX, with_retries
from clients.kafka_log import TopicLog
from schemas.topics import FEATURES, SCORER_GROUP, TRANSACTIONS
from streams.velocity.cluster import GROUP_ID

COUNTED_MAX: Final = 1_000
"""Offsets of one partition up to which the records are counted one by one. Markers and aborted
records of Kafka transactions have offsets, too; in a longer lag they do not matter."""


class Lag(NamedTuple):
    """How many records a program has not processed yet.

    Attributes:
        program: its name in the stack.
        topic: what it reads.
        records: committed records after its offsets, over all partitions.
    """

    program: str
    topic: str
    records: int

    def __str__(self) -> str:
        """Give the lag as one sentence."""
        return f"{self.program} is {self.records:,} records behind `{self.topic}`"


def read_lags(bootstrap: str) -> list[Lag]:
    """Ask the broker for the lags of the velocity job and of the scorer.

    Raises:
        KafkaUnreachableError: no answer, or a topic is missing.
    """
    return [
        Lag(program, topic, _behind(bootstrap, group=group, topic=topic))
        for program, group, topic in (
            ("velocity-job", GROUP_ID, TRANSACTIONS),
            ("scorer", SCORER_GROUP, FEATURES),
        )
    ]


def _behind(bootstrap: str, *, group: str, topic: str) -> int:
    with TopicLog(bootstrap, topic) as log:
        committed = _committed(bootstrap, group, topic, list(log.ranges))
        total = 0
        for partition, (first, end) in log.ranges.items():
            start = max(first, committed.get(partition, first))
            if end - start > COUNTED_MAX:
                total += end - start
            else:
                read = log.read(partition, first=start, end=end, values_only=True)
                total += sum(1 for _ in read)
        return total


def _committed(bootstrap: str, group: str, topic: str, partitions: list[int]) -> dict[int, int]:
    """The next offset of the group by partition, without those of which it has committed none."""
    # This consumer subscribes to nothing, so it does not join the group.
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0})
    places = [TopicPartition(topic, partition) for partition in partitions]
    try:
        found = with_retries(bootstrap, partial(consumer.committed, places, timeout=ANSWER_S_MAX))
    finally:
        consumer.close()
    return {place.partition: place.offset for place in found if place.offset >= 0}
