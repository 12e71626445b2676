"""The velocity job at a parallelism of 2: its operators for users and merchants are apart.

Each writes its own keys to Redis, and all of them again when it is asked to. Of repeats that say
something else, for other merchants too, each row says what the first delivery to its user said.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from kafka import KafkaProducer
from redis import Redis

from features.definitions import DAY_MS, HOUR_MS
from features.online.layout import entity_key
from infra.simulation.event import Event
from operations.online_rebuild import states
from operations.parity.feature_log import FeatureLogComparison
from schemas import topics
from tests import services
from tests.blind_stream import BlindStream
from tests.chaos.test_kill import kill
from tests.services import Services, unique_name
from tests.topic_tail import Tail, tail
from tests.traffic import live_transaction, now_ms

USERS = 150
PROGRAMS = ("kafka", "redis", "jobmanager", "taskmanager", "velocity-job")
STEP_S_MAX = 120.0
SENT = 400
ANSWER_MS_MAX = 120_000

Contents = dict[tuple[int, int], dict[str, Any]]
"""By partition and offset of a transaction."""


@pytest.fixture(scope="module")
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


def send_events(producer: KafkaProducer, events: list[Event]) -> Contents:
    """Give the contents of the transactions by place."""
    headers = [topics.REPLAY_HEADER]
    sent = [
        (event, producer.send(event.topic, key=event.key, value=event.value, headers=headers))
        for event in events
    ]
    places = {
        (place.partition, place.offset): orjson.loads(event.value)
        for event, future in sent
        if event.is_transaction and (place := future.get(30))
    }
    assert len(places) == sum(event.is_transaction for event in events)
    return places


def assert_first_contents(rows: Contents, sent: Contents) -> int:
    """A row says what was sent, that of a repeat what the row before it says; gives the repeats."""
    first: dict[tuple[str, str], dict[str, Any]] = {}
    repeats = 0
    for place in sorted(sent):
        row, said = rows[place], rows[place]["transaction"]
        identity = (said["transaction_id"], said["user_id"])
        if not row["repeat"]:
            first[identity] = sent[place]
        assert said == first[identity]
        repeats += said != sent[place]
    return repeats


def origins(rows: Tail) -> Contents:
    """The rows by the place of their transaction; those of one place must say the same.

    Merchant features may differ: after a failure the partitions are interleaved in another way, and
    some of these transactions are more than a day late (docs/failures.md).
    """
    found: Contents = {}
    for row in rows.objects():
        place = (row["origin"]["partition"], row["origin"]["offset"])
        before = found.setdefault(place, row)
        assert (row["transaction"], row["repeat"]) == (before["transaction"], before["repeat"])
        for name, value in row["features"].items():
            assert not name.startswith("user_") or value == before["features"][name], name
    return found


def test_conflicting_repeats_across_merchants_have_the_first_content_also_after_a_kill(
    parallel: Services,
) -> None:
    now = now_ms()
    stream = BlindStream(
        random.Random(2),
        prefix=unique_name("two"),
        start_ms=now - 40 * DAY_MS,
        # All within some days, because nothing keeps the partitions of a replay together.
        step_ms=HOUR_MS // 2,
        observed_from_ms=now,
    )
    events = stream.events(SENT)
    half = len(events) // 2
    producer = KafkaProducer(bootstrap_servers=parallel.kafka_bootstrap)
    with tail(parallel.kafka_bootstrap, topics.FEATURES) as rows:
        sent = send_events(producer, events[:half])
        rows.until(lambda seen: len(seen) > SENT // 4, within_ms=ANSWER_MS_MAX)
        kill(parallel, "taskmanager")
        sent |= send_events(producer, events[half:])
        producer.close()
        rows.until(lambda _: len(origins(rows)) == SENT, within_ms=ANSWER_MS_MAX)
    assert assert_first_contents(origins(rows), sent) > SENT // 20
    report = FeatureLogComparison(parallel.settings).run()
    assert report.rows + report.repeats >= SENT
    assert (report.missing, report.extra, report.gaps) == (0, 0, 0), report
    # The kept differences begin with those of users.
    assert all(each.feature.startswith("merchant_") for each in report.differences), report
