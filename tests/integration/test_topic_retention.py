"""The size of a topic that the settings limit is limited on the broker; of the others it is not."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from infra.local.retention import first_rows_reach
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


def test_rows_that_were_deleted_before_their_first_decisions_are_noticed(kafka: Services) -> None:
    bootstrap = kafka.kafka_bootstrap
    topic = kafka.new_topic("features", partitions=1)
    producer = Producer({"bootstrap.servers": bootstrap})
    for time_ms in (1_000_000, 2_000_000, 3_000_000):
        producer.produce(topic, b"row", partition=0, timestamp=time_ms)
    producer.flush()
    settings = kafka.settings.model_copy(update={"decision_ttl_s": 1_500})
    assert "goes back further" in first_rows_reach(settings, now_ms=3_000_000, topic=topic)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (deleted,) = admin.delete_records([TopicPartition(topic, 0, 1)]).values()
    deleted.result(timeout=10)
    assert "goes back further" in first_rows_reach(settings, now_ms=4_000_000, topic=topic)
    with pytest.raises(LookupError, match="WEIR_DECISION_TTL_S=1500 s in partition 0"):
        first_rows_reach(settings, now_ms=3_000_000, topic=topic)


def configuration(bootstrap: str, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (answer,) = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in answer.result(timeout=10).items()}
