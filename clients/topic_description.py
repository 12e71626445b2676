"""What a broker says of topics: which log a topic is, and its partitions as of now.

A topic that was deleted and created again, or a new broker at an old address, has the same name and
other records. Its ids tell: Kafka never gives an id twice. Called by the archive, which follows one
log for years, and by readers that follow topics as they grow.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Final, NamedTuple

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._topic import TopicDescription as Described

from clients.kafka import ANSWER_S_MAX, topic_partitions, with_retries

LOOK_S: Final = 2.0
"""How often, in s, a reader that follows a topic asks whether it has new partitions."""


class LogIdentity(NamedTuple):
    """Which log a topic is: two logs of one name differ in at least one of these ids."""

    cluster_id: str
    topic_id: str

    def __str__(self) -> str:
        return f"topic id {self.topic_id} in the Kafka cluster {self.cluster_id}"


class TopicDescription(NamedTuple):
    """A topic as it is now."""

    identity: LogIdentity
    partitions: tuple[int, ...]


class TopicDescriptions:
    """Asks one broker about the same topics again and again, with one connection."""

    def __init__(self, bootstrap: str, *topics: str) -> None:
        """Check that the broker answers and has the topics.

        Raises:
            KafkaUnreachableError: no answer, or a topic is missing.
        """
        topic_partitions(bootstrap, topics)
        self._bootstrap = bootstrap
        self._topics = topics
        self._admin = _admin(bootstrap)

    def ask(self) -> dict[str, TopicDescription]:
        """Describe the topics as they are now, by name. Takes some ms; blocks `ANSWER_S_MAX`.

        Raises:
            KafkaUnreachableError: no answer, or a topic is gone.
        """
        return with_retries(self._bootstrap, self._described)

    def _described(self) -> dict[str, TopicDescription]:
        cluster = self._admin.describe_cluster(request_timeout=ANSWER_S_MAX)
        topics = self._admin.describe_topics(
            TopicCollection(list(self._topics)), request_timeout=ANSWER_S_MAX
        )
        cluster_id = str(cluster.result().cluster_id)
        return {name: _description(cluster_id, topics[name].result()) for name in self._topics}


class NewPartitions:
    """Notices the partitions that topics get while they are read. Never waits for the broker."""

    def __init__(self, bootstrap: str, known: Mapping[str, Iterable[int]]) -> None:
        """Start from the partitions that the reader knows, by topic."""
        self._known = {topic: set(partitions) for topic, partitions in known.items()}
        self._admin = _admin(bootstrap)
        self._asked: dict[str, Future[Described]] = {}
        self._next_s = time.monotonic() + LOOK_S

    def found(self) -> list[tuple[str, int]]:
        """Give topic and number of the partitions that were not known until now, each once.

        Sends a request every `LOOK_S` and takes its answer in a later call. A request that fails is
        sent again: that the broker is away is the reader's to notice.
        """
        if time.monotonic() < self._next_s:
            return []
        if not self._asked:
            self._asked = self._admin.describe_topics(
                TopicCollection(list(self._known)), request_timeout=ANSWER_S_MAX
            )
            return []
        if not all(answer.done() for answer in self._asked.values()):
            return []
        news = [
            (topic, partition.id)
            for topic, answer in self._asked.items()
            if answer.exception() is None
            for partition in answer.result().partitions
            if partition.id not in self._known[topic]
        ]
        self._asked = {}
        self._next_s = time.monotonic() + LOOK_S
        for topic, partition_id in news:
            self._known[topic].add(partition_id)
        return news


def describe_topics(bootstrap: str, *topics: str) -> dict[str, TopicDescription]:
    """Describe topics once; see `TopicDescriptions.ask`.

    Raises:
        KafkaUnreachableError: no answer, or a topic is missing.
    """
    return TopicDescriptions(bootstrap, *topics).ask()


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


def _description(cluster_id: str, described: Described) -> TopicDescription:
    # As Kafka's own tools print it.
    topic_id = str(described.topic_id).replace("+", "-").replace("/", "_")
    identity = LogIdentity(cluster_id, topic_id)
    return TopicDescription(identity, tuple(sorted(each.id for each in described.partitions)))
