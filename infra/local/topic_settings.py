"""Whether the topics still keep what they must: an operator may have changed their settings.

The logs are the ground state. A topic that is compacted or that deletes by age loses records
without a message, after weeks. Called by `doctor.py`; changes nothing.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from clients.kafka import ANSWER_S_MAX, unreachable
from schemas.topics import TOPICS, TRANSACTIONS

_AHEAD: Final = "message.timestamp.after.max.ms"
_KEEPS: Final = ("cleanup.policy", "retention.ms")
"""The settings that decide what is deleted. A limit in bytes is a choice: see `retention.py`."""


def settings_of_topics(bootstrap: str) -> str:
    """Compare the settings that delete records with those the topics were created with.

    Raises:
        LookupError: names each topic with a setting that differs, its value and the right one.
        KafkaUnreachableError: no answer, or a topic is missing.
    """
    resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in TOPICS]
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    answers = admin.describe_configs(resources, request_timeout=ANSWER_S_MAX)
    try:
        found = {resource.name: answer.result() for resource, answer in answers.items()}
    except KafkaException as error:
        raise unreachable(bootstrap, error) from error
    changed = []
    for topic in TOPICS:
        for name in _KEEPS:
            right, value = topic.config[name], found[topic.name][name].value
            if value != right:
                changed.append(f"{topic.name} has {name}={value}, not {right}")
    ahead = int(found[TRANSACTIONS][_AHEAD].value)
    if changed:
        raise LookupError(f"records may be deleted: {'; '.join(changed)}")
    return f"{len(TOPICS)} topics keep their records; timestamps up to {ahead} ms ahead"
