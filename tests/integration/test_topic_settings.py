"""The doctor names the topics whose records an operator's settings may delete."""

from __future__ import annotations

import pytest

from infra.local.topic_settings import settings_of_topics
from infra.local.topics import create_topics
from schemas.topics import DECISIONS, FEATURES
from tests.services import Services
from tests.topic_settings import set_topic


def test_a_topic_that_may_delete_records_is_named_with_the_right_setting(kafka: Services) -> None:
    bootstrap = kafka.kafka_bootstrap
    create_topics(bootstrap, kafka.settings.topic_partitions)
    assert "topics keep their records" in settings_of_topics(bootstrap)
    changed = {FEATURES: {"cleanup.policy": "compact"}, DECISIONS: {"retention.ms": "9"}}
    right = {FEATURES: {"cleanup.policy": "delete"}, DECISIONS: {"retention.ms": "-1"}}
    try:
        # For a moment only: Kafka looks for what to delete every five minutes.
        for topic, values in changed.items():
            set_topic(bootstrap, topic, values)
        with pytest.raises(LookupError) as caught:
            settings_of_topics(bootstrap)
    finally:
        for topic, values in right.items():
            set_topic(bootstrap, topic, values)
    assert str(caught.value) == (
        "records may be deleted: features has cleanup.policy=compact, not delete; "
        "decisions has retention.ms=9, not -1"
    )
    assert "topics keep their records" in settings_of_topics(bootstrap)
