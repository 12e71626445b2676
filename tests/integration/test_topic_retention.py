"""The size of a topic that the settings limit is limited on the broker; of the others it is not."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from infra.local.topics import create_topics
from schemas.topics import FEATURES, TRANSACTIONS, retention_config
from tests.services import Services

MIB = 1 << 30
"""So much that no other test on this broker meets it."""


def test_a_limit_is_set_on_a_topic_that_exists_and_on_no_other(kafka: Services) -> None:
    bootstrap = kafka.kafka_bootstrap
    create_topics(bootstrap, 4)
    before = configuration(bootstrap, TRANSACTIONS)
    assert create_topics(bootstrap, 4, retention_mib={FEATURES: MIB}) == []
    limited = configuration(bootstrap, FEATURES)
    assert limited | retention_config(mib=MIB, partitions=4) == limited
    assert limited["retention.ms"] == "-1"
    assert configuration(bootstrap, TRANSACTIONS) == before
    assert before["retention.bytes"] == "-1"


def configuration(bootstrap: str, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (answer,) = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in answer.result(timeout=10).items()}
