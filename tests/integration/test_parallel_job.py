"""The velocity job at a parallelism of 2: its operators for users and merchants are apart.

Each writes its own keys to Redis, and all of them again when it is asked to.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import orjson
import pytest
from confluent_kafka import Producer
from redis import Redis

from features.online.layout import entity_key
from operations.online_rebuild import states
from schemas import topics
from tests import services
from tests.services import Services
from tests.topic_tail import tail
from tests.traffic import live_transaction

USERS = 150
PROGRAMS = ("kafka", "redis", "jobmanager", "taskmanager", "velocity-job")
STEP_S_MAX = 120.0


@pytest.fixture
def parallel(local_services: Services) -> Iterator[Services]:
    """A Kafka, a Redis and the job; `local_services` marks the test."""
    with services.local_services(keep_logs=lambda: False, flink_parallelism=2) as own:
        assert own.stack is not None
        own.stack.up(programs=PROGRAMS)
        yield own


def send(bootstrap: str) -> list[tuple[str, str]]:
    """Send an event of each user; gives the ids of users and merchants, with their entities."""
    producer = Producer({"bootstrap.servers": bootstrap})
    ids = set()
    for number in range(USERS):
        event = live_transaction("parallel", number, user_id=f"user-{number}")
        ids |= {("user", event["user_id"]), ("merchant", event["merchant_id"])}
        producer.produce(
            topics.TRANSACTIONS, key=event["user_id"].encode(), value=orjson.dumps(event)
        )
    assert producer.flush(30) == 0
    return sorted(ids)


def stored(client: Redis, keys: list[bytes]) -> list[dict[bytes, bytes]]:
    """The states in Redis, when they rest."""
    deadline_s = time.monotonic() + STEP_S_MAX
    before: list[dict[bytes, bytes]] = []
    while time.monotonic() < deadline_s:
        found = [client.hgetall(key) for key in keys]
        if all(found) and found == before:
            return found
        before = found
        time.sleep(1.5)
    raise AssertionError(f"{sum(map(bool, before))} of {len(keys)} states")


def test_two_subtasks_write_all_states_again_after_redis_was_emptied(parallel: Services) -> None:
    settings = parallel.settings
    with tail(parallel.kafka_bootstrap, topics.FEATURES) as rows:
        ids = send(parallel.kafka_bootstrap)
        rows.until(lambda seen: len(seen) >= USERS, within_ms=120_000)
    keys = [entity_key(entity, id_, settings.feast_project) for entity, id_ in ids]
    with Redis.from_url(parallel.redis_url) as client:
        before = stored(client, keys)
        client.flushall()
        found = states.follow_rewrite(client, settings, states.ask_for_rewrite(client, settings))
        assert stored(client, keys) == before
    assert found.keys() == {"user/0", "user/1", "merchant/0", "merchant/1"}
    assert all(found[f"user/{subtask}"].keys for subtask in (0, 1))
    assert sum(each.keys for name, each in found.items() if name.startswith("user")) == USERS
