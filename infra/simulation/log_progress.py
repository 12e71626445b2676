"""How many transactions the running system has answered, read from the ends of its logs.

A replay asks it through its gate (`gate.py`). Reads offsets only, no records.
"""

from collections import defaultdict

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from clients.kafka import ANSWER_S_MAX, with_retries
from clients.topic_description import NewPartitions
from schemas.errors import WeirError
from schemas.topics import DEAD_LETTERS, FEATURES, TRANSACTIONS


class TopicGrewError(WeirError):
    """A topic got partitions during a replay, so its answers can no longer be counted."""


class KafkaLogProgress:
    """Counts answered transactions: rows of the feature log plus dead letters.

    A transaction becomes one row of the feature log or one dead letter, in its own partition. After
    a failure of the job rows are repeated, and the count is too high by the number of repeats.
    Weir writes both topics without transactions, so every offset is that of a record.

    Args:
        bootstrap: Kafka's address.
        partitions: the partitions of the transactions, of the feature log and of the dead letters.
    """

    def __init__(self, bootstrap: str, *, partitions: list[int]) -> None:
        self._bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._asked = {
            TopicPartition(topic, partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for topic in (FEATURES, DEAD_LETTERS)
            for partition in partitions
        }
        self._new_partitions = NewPartitions(
            bootstrap, dict.fromkeys((TRANSACTIONS, FEATURES, DEAD_LETTERS), partitions)
        )

    def answered(self) -> dict[int, int]:
        """Give the sum of the end offsets of feature log and dead letters, by partition.

        Raises:
            KafkaUnreachableError: no answer within `ANSWER_S_MAX`.
            TopicGrewError: a topic has more partitions than at the start, so a key may have moved
                to another partition.
        """
        if news := self._new_partitions.found():
            grown = ", ".join(f"{topic} got partition {partition}" for topic, partition in news)
            raise TopicGrewError(
                f"{grown} during the replay, whose answers can no longer be counted; what was sent "
                "is processed all the same. Give transactions, features and dead-letters equal "
                "numbers of partitions before the next replay"
            )
        return with_retries(self._bootstrap, self._ends)

    def _ends(self) -> dict[int, int]:
        futures = self._admin.list_offsets(self._asked, request_timeout=ANSWER_S_MAX)
        counts: dict[int, int] = defaultdict(int)
        for place, future in futures.items():
            counts[place.partition] += future.result().offset
        return counts
