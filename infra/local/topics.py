"""Makes Weir's topics on a broker that does not have them."""

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from infra.local.errors import TopicCreationError
from schemas.topics import TOPICS

REQUEST_TIMEOUT_MS = 30_000


def create_topics(bootstrap: str, partitions: int) -> list[str]:
    """Make every topic of `schemas.topics` that does not exist; change none that does.

    Blocks: at most about ``REQUEST_TIMEOUT_MS``.

    Returns:
        The names of the topics made now.

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
            return _create_missing(admin, partitions)
        finally:
            admin.close()
    except KafkaError as error:
        raise TopicCreationError(
            f"the broker at {bootstrap} did not make the topics: {error!r}"
        ) from error


def _create_missing(admin: KafkaAdminClient, partitions: int) -> list[str]:
    existing = set(admin.list_topics())
    missing = {
        topic.name: {
            "num_partitions": partitions,
            "replication_factor": 1,
            "configs": dict(topic.config),
        }
        for topic in TOPICS
        if topic.name not in existing
    }
    if missing:
        admin.create_topics(missing, timeout_ms=REQUEST_TIMEOUT_MS, wait_for_metadata=True)
    return list(missing)
