"""Users with one event each, and the running system's job, for tests of states that rest."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from kafka import KafkaProducer

from features.online.layout import entity_key
from schemas import topics
from streams.velocity.cluster import JOB_NAME
from tests.services import Services
from tests.topic_tail import by_transaction, tail
from tests.traffic import live_transaction

STEP_S_MAX = 120.0


@dataclass(frozen=True)
class IdleUsers:
    """Users whose only event is in a checkpoint.

    Attributes:
        keys: of their states in Redis.
        taskmanager: the process that had the events. Another one has their states on disk only,
            not in the engine's memory.
    """

    keys: list[bytes]
    taskmanager: int


def send_idle_users(services: Services, count: int) -> IdleUsers:
    """Send one event of each user; return when they are decided and in a checkpoint."""
    assert services.stack is not None
    events = [live_transaction("idle", number, user_id=f"idle-{number}") for number in range(count)]
    ids = {event["transaction_id"] for event in events}
    producer = KafkaProducer(bootstrap_servers=services.kafka_bootstrap)
    with tail(services.kafka_bootstrap, topics.DECISIONS) as decisions:
        for event in events:
            key = event["user_id"].encode()
            producer.send(topics.TRANSACTIONS, key=key, value=orjson.dumps(event))
        producer.flush()
        decisions.until(lambda _: by_transaction(decisions, ids).keys() == ids, within_ms=120_000)
    producer.close()
    _wait_for_checkpoint(services)
    project = services.settings.feast_project
    return IdleUsers(
        [entity_key("user", event["user_id"], project) for event in events],
        services.stack.pid("taskmanager"),
    )


def _wait_for_checkpoint(services: Services) -> None:
    """Wait for a checkpoint that begins after this call."""
    now_ms = time.time_ns() // 1_000_000
    url = f"{services.flink_rest_url}/jobs/{running_job(services.flink_rest_url)}/checkpoints"

    def is_complete() -> bool:
        newest = ask(url)["latest"]["completed"]
        return newest is not None and newest["trigger_timestamp"] > now_ms

    eventually(is_complete, lambda: ask(url)["latest"])


def running_job(rest_url: str) -> str:
    """The id of the velocity job."""
    (found,) = [
        job["jid"]
        for job in ask(f"{rest_url}/jobs/overview")["jobs"]
        if job["state"] == "RUNNING" and job["name"] == JOB_NAME
    ]
    return str(found)


def ask(url: str) -> Any:
    """A JSON answer of Flink."""
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.load(reply)


def eventually(claim: Callable[[], bool], seen: Callable[[], Any]) -> None:
    """Wait until ``claim`` holds; fails with what is seen."""
    deadline_s = time.monotonic() + STEP_S_MAX
    while not claim():
        assert time.monotonic() < deadline_s, seen()
        time.sleep(0.2)
