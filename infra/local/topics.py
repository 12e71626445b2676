"""Creates Weir's topics on a broker and waits until they can be used."""

from collections.abc import Iterable, Mapping

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError

from infra.local.errors import TopicCreationError
from schemas.topics import TOPICS, retention_config

REQUEST_TIMEOUT_MS = 30_000


def create_topics(
    bootstrap: str, partitions: int, *, retention_mib: Mapping[str, int] | None = None
) -> list[str]:
    """Create the topics of `schemas.topics` that do not exist.

    Of the others only the retention is changed, and only of those that ``retention_mib`` names.

    Args:
        bootstrap: Kafka's address.
        partitions: of each topic whose number is not fixed.
        retention_mib: by topic, how much of it is kept, MiB over all partitions.

    Blocks: until the broker serves all of them, each step at most ``REQUEST_TIMEOUT_MS``.

    Returns:
        The names of the topics that were created.

    Raises:
        TopicCreationError: the broker refused or did not answer.
    """
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap,
            client_id="weir-topics",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            made = _create_missing(admin, partitions)
            if retention_mib:
                _set_retention(admin, retention_mib, partitions)
        finally:
            admin.close()
        wait_until_served(bootstrap, (topic.name for topic in TOPICS))
        return made
    except KafkaError as error:
        raise TopicCreationError(
            f"the broker at {bootstrap} did not create the topics: {error!r}"
        ) from error


def wait_until_served(bootstrap: str, topics: Iterable[str]) -> None:
    """Block until the broker answers for every partition of these topics.

    Metadata names the leader of a partition before that broker has become its leader; a client that
    does not ask again gets the error "not leader".

    Raises:
        KafkaError: the broker does not answer within ``REQUEST_TIMEOUT_MS``.
    """
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, client_id="weir-topics")
    try:
        places = [
            TopicPartition(topic, partition)
            for topic in topics
            for partition in consumer.partitions_for_topic(topic) or ()
        ]
        consumer.end_offsets(places, timeout_ms=REQUEST_TIMEOUT_MS)
    finally:
        consumer.close()


def _create_missing(admin: KafkaAdminClient, partitions: int) -> list[str]:
    existing = set(admin.list_topics())
    missing = {
        topic.name: {
            "num_partitions": topic.partitions or partitions,
            "replication_factor": 1,
            "configs": dict(topic.config),
        }
        for topic in TOPICS
        if topic.name not in existing
    }
    if missing:
        admin.create_topics(missing, timeout_ms=REQUEST_TIMEOUT_MS, wait_for_metadata=True)
    return list(missing)


def _set_retention(
    admin: KafkaAdminClient, retention_mib: Mapping[str, int], partitions: int
) -> None:
    admin.alter_configs(
        [
            ConfigResource(
                ConfigResourceType.TOPIC, topic, retention_config(mib=mib, partitions=partitions)
            )
            for topic, mib in retention_mib.items()
        ]
    )
