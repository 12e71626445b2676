"""The online sink with a real Redis that is killed and restarted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from features.engine.state import UserState
from features.online import layout as online_store
from features.online.layout import OnlineEntity
from streams.velocity.redis_sink import OnlineSink
from tests.builders import NOW_MS
from tests.services import Services, unique_name

FLUSH_MS = 20


def state_of(events: int) -> UserState:
    """A user's state after ``events`` events."""
    state = UserState()
    for number in range(events):
        state.fold(
            transaction_id=f"t-{number}",
            merchant_id="m-1",
            amount_minor=100,
            event_time_ms=NOW_MS + number,
        )
    return state


class Watched:
    """A sink, and access to what it wrote to Redis."""

    def __init__(self, services: Services, *, keys_max: int = 100) -> None:
        self.project = unique_name("sink")
        self.client = redis.Redis.from_url(services.redis_url, socket_timeout=1)
        self.live: dict[str, UserState] = {}
        self.sink = OnlineSink(
            "user",
            connect=lambda: redis.Redis.from_url(services.redis_url, socket_timeout=1),
            project=self.project,
            flush_ms=FLUSH_MS,
            keys_max=keys_max,
        )
        self.sink.start(resync=self.live.items)

    def mark(self, key: str, state: UserState) -> None:
        """Mark a key as the operator does after a fold."""
        with self.sink.lock:
            self.live[key] = state
            self.sink.mark(key, state)

    def stored(self, key: str) -> OnlineEntity | None:
        """The entity that a reader finds."""
        redis_key = online_store.entity_key("user", key, self.project)
        values = self.client.hmget(redis_key, online_store.state_fields("user"))
        return online_store.decode_values("user", values)

    def has_sequence(self, key: str, sequence: int) -> bool:
        """Whether the stored state has this sequence; False while Redis is down."""
        try:
            entity = self.stored(key)
        except redis.RedisError:
            return False
        return entity is not None and entity.sequence == sequence


def eventually(claim: Callable[[], bool], *, within_ms: int = 30_000) -> None:
    deadline_s = time.monotonic() + within_ms / 1_000
    while not claim():
        assert time.monotonic() < deadline_s, f"not within {within_ms} ms"
        time.sleep(0.02)


@pytest.fixture
def watched(redis_server: Services) -> Iterator[Watched]:
    watch = Watched(redis_server)
    yield watch
    watch.sink.close()
    watch.client.close()


def test_the_newest_state_of_a_marked_key_is_stored_and_reads_the_same(watched: Watched) -> None:
    state = state_of(5)
    watched.mark("u-1", state)
    eventually(lambda: watched.has_sequence("u-1", 5))
    entity = watched.stored("u-1")
    assert entity is not None
    stored = UserState.decode(entity.state)
    as_of_ms = NOW_MS + 60_000
    assert stored.read(as_of_ms=as_of_ms) == state.read(as_of_ms=as_of_ms)


def test_a_replayed_older_state_changes_nothing(watched: Watched) -> None:
    watched.mark("u-1", state_of(5))
    eventually(lambda: watched.has_sequence("u-1", 5))
    watched.mark("u-1", state_of(3))
    watched.mark("u-2", state_of(1))
    eventually(lambda: watched.has_sequence("u-2", 1))
    assert watched.has_sequence("u-1", 5)


def test_closing_writes_the_dirty_keys(redis_server: Services) -> None:
    watch = Watched(redis_server)
    watch.mark("u-1", state_of(2))
    watch.sink.close()
    assert watch.has_sequence("u-1", 2)
    watch.client.close()


def test_more_dirty_keys_than_the_limit_drop_the_oldest_and_count_it(
    redis_server: Services,
) -> None:
    watch = Watched(redis_server, keys_max=2)
    with watch.sink.lock:  # so the thread cannot write
        for key in ("u-1", "u-2", "u-3"):
            watch.sink.mark(key, state_of(1))
    watch.sink.close()
    assert watch.sink.dropped_total == 1
    assert watch.stored("u-1") is None
    assert watch.has_sequence("u-3", 1)
    watch.client.close()


def test_all_states_are_written_again_after_redis_was_killed_and_lost_data(
    local_services: Services,
) -> None:
    stack = local_services.stack
    assert stack is not None
    stack.up(programs=["redis"])
    watch = Watched(local_services)
    watch.mark("u-idle", state_of(4))
    eventually(lambda: watch.has_sequence("u-idle", 4))
    # Simulates lost data: the key is deleted before Redis is killed.
    watch.client.delete(online_store.entity_key("user", "u-idle", watch.project))
    os.kill(stack.pid("redis"), signal.SIGKILL)
    eventually(lambda: not answers(watch))
    watch.mark("u-busy", state_of(1))
    eventually(lambda: watch.has_sequence("u-busy", 1))
    eventually(lambda: watch.has_sequence("u-idle", 4))
    watch.sink.close()
    watch.client.close()


def answers(watch: Watched) -> bool:
    try:
        return bool(watch.client.ping())
    except redis.RedisError:
        return False
