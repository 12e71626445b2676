"""What the topic `decisions` says of rollouts, read and counted apart from the controller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from clients.kafka_log import read_log
from schemas import topics
from schemas.rollout_state import RolloutSnapshot
from schemas.settings import Settings


def decisions(settings: Settings, topic: str = topics.DECISIONS) -> Iterator[tuple[int, int, Any]]:
    """Partition, offset and object of each decision of a rollout, from the whole log."""
    for record in read_log(settings.kafka_bootstrap, topic, values_only=True):
        if record.value is not None and b'"rollout":{' in record.value:
            yield record.partition, record.offset, orjson.loads(record.value)


def recounted(settings: Settings, snapshot: RolloutSnapshot) -> dict[str, Counter[str]]:
    """The decisions of a rollout up to the offsets of a snapshot, counted from the log."""
    found = {arm.name: Counter[str]() for arm in snapshot.reading.arms}
    ends = snapshot.positions["decisions"]
    for partition, offset, decision in decisions(settings):
        if (
            decision["rollout"]["id"] == snapshot.reading.rollout_id
            and offset < ends[partition]
            and decision["model_ms"] is not None
        ):
            counts = found[decision["arm"]]
            counts["decisions"] += 1
            counts[decision["decision"]] += 1
            counts["errors"] += "arm_unavailable" in decision["degraded"]
    return found
