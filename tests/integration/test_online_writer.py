"""The writer of online states with a real Redis that is killed and restarted."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from features.definitions import Entity
from features.engine.job import UNLIMITED, KeptStates
from features.engine.plan import ENTITIES
from features.engine.state import MerchantState, UserState
from features.online import layout as online_store
from features.online.layout import OnlineEntity
from features.online.rewrite import (
    BY_HAND,
    RewriteProgress,
    marker_key,
    progress_field,
    progress_key,
)
from streams.velocity.online_rewrite import SLICE_KEYS_MAX
from streams.velocity.online_writer import BATCH_KEYS_MAX, OnlineWriter
from tests.builders import LIMITS, NOW_MS, label_object, transaction_object, wire
from tests.journaled_stage import JournaledStage
from tests.parity_world import stored_hash
from tests.services import Services, unique_name
from tests.stored_journals import StoredJournals
from tests.unit.streams.velocity.test_record_frame import framed

FLUSH_MS = 20
USER, MERCHANT = range(len(ENTITIES))


ALL_KEPT = KeptStates()


class Watched:
    """An engine, a writer of its users, and access to what it wrote to Redis."""

    def __init__(
        self,
        services: Services,
        *,
        keys_max: int = 1_000,
        position: int = USER,
        kept: KeptStates = ALL_KEPT,
    ) -> None:
        self.project = unique_name("writer")
        self.entity: Entity = ENTITIES[position].entity
        self.client = redis.Redis.from_url(services.redis_url, socket_timeout=1)
        self.stage = JournaledStage(
            0,
            len(ENTITIES),
            limits=LIMITS,
            clock_ms=lambda: NOW_MS,
            kept=kept,
            changed_keys_max=keys_max,
            project=self.project,
        )
        self._events = 0
        self.writer = OnlineWriter(
            self.stage.job,
            position,
            connect=lambda: redis.Redis.from_url(services.redis_url, socket_timeout=1),
            flush_ms=FLUSH_MS,
            keys_max=keys_max,
            project=self.project,
        )
        self.journals = StoredJournals(self.stage, self.writer.rewrite)

    def fold(self, *users: str, **changes: Any) -> None:
        """Fold one event of each user, as one batch."""
        frames = []
        for user_id in users:
            self._events += 1
            obj = transaction_object(
                user_id=user_id,
                transaction_id=f"t-{self._events}",
                event_time_ms=NOW_MS - 1_000 + self._events,
                **changes,
            )
            frames.append(framed(value=wire(obj)))
        self.stage.run(frames)

    def key(self, key: str) -> bytes:
        return online_store.entity_key(self.entity, key, self.project)

    def stored(self, key: str) -> OnlineEntity | None:
        """The entity that a reader finds."""
        values = self.client.hmget(self.key(key), online_store.state_fields(self.entity))
        return online_store.decode_values(self.entity, values)

    def has_sequence(self, key: str, sequence: int) -> bool:
        """Whether the stored state has this sequence; False while Redis is down."""
        try:
            entity = self.stored(key)
        except redis.RedisError:
            return False
        return entity is not None and entity.sequence == sequence

    def progress(self) -> RewriteProgress | None:
        """The newest rewrite; None while Redis does not know one."""
        try:
            found = self.client.hget(progress_key(self.project), progress_field(self.entity, 0))
        except redis.RedisError:
            return None
        return None if found is None else RewriteProgress.decode(found)

    def is_rewritten(self, reason: str) -> bool:
        """Feed the rewrite; whether one for this reason is done."""
        while self.journals.give():
            pass
        found = self.progress()
        return found is not None and found.is_done and found.reason == reason


def eventually(claim: Callable[[], bool], *, within_ms: int = 30_000) -> None:
    deadline_s = time.monotonic() + within_ms / 1_000
    while not claim():
        assert time.monotonic() < deadline_s, f"not within {within_ms} ms"
        time.sleep(0.02)


@pytest.fixture
def watched(redis_server: Services) -> Iterator[Watched]:
    watch = Watched(redis_server)
    watch.writer.start()
    yield watch
    watch.writer.close()
    watch.client.close()


def test_the_newest_state_of_a_changed_key_is_stored_and_reads_the_same(watched: Watched) -> None:
    watched.fold("u-1", "u-1", "u-1")
    watched.fold("u-1", "u-1")
    eventually(lambda: watched.has_sequence("u-1", 5))
    entity = watched.stored("u-1")
    assert entity is not None
    stored = UserState.decode(entity.state)
    snapshot = watched.stage.job.snapshot(USER, "u-1")
    assert snapshot is not None
    state = UserState.decode(snapshot[1:])
    as_of_ms = NOW_MS + 60_000
    assert stored.read(as_of_ms=as_of_ms) == state.read(as_of_ms=as_of_ms)


@pytest.mark.parametrize("position", [USER, MERCHANT])
def test_a_stored_hash_is_the_one_that_the_layout_describes(
    redis_server: Services, position: int
) -> None:
    watch = Watched(redis_server, position=position)
    for number in range(30):
        watch.fold("u-1", merchant_id="m-1", amount_minor=number)
        label = label_object(transaction_id=f"t-{number}", merchant_id="m-1")
        watch.stage.run([framed(topic=b"labels", value=wire(label))])
    watch.writer.write_all()
    key, state_type = (("u-1", UserState), ("m-1", MerchantState))[position]
    snapshot = watch.stage.job.snapshot(position, key)
    assert snapshot is not None
    state = state_type.decode(snapshot[1:])
    assert watch.client.hgetall(watch.key(key)) == stored_hash(watch.entity, state)
    watch.client.close()


def test_more_keys_than_one_write_takes_are_all_written(redis_server: Services) -> None:
    watch = Watched(redis_server)
    keys = [f"u-{number}" for number in range(2 * BATCH_KEYS_MAX + 1)]
    watch.fold(*keys)
    watch.writer.write_all()
    assert all(watch.has_sequence(key, 1) for key in keys)
    assert watch.stage.job.changed_len(USER) == 0
    watch.client.close()


def test_an_older_state_changes_nothing(watched: Watched, redis_server: Services) -> None:
    watched.fold("u-1", "u-1", "u-1")
    eventually(lambda: watched.has_sequence("u-1", 3))
    behind = Watched(redis_server)  # as after a restart from an earlier checkpoint
    behind.stage, behind.project = watched.stage, watched.project
    behind.stage.journals.clear()
    behind.stage.crash()
    late = OnlineWriter(
        behind.stage.job,
        USER,
        connect=lambda: behind.client,
        flush_ms=1,
        keys_max=9,
        project=behind.project,
    )
    behind.fold("u-1", "u-2")
    late.write_all()
    assert watched.has_sequence("u-1", 3)
    assert watched.has_sequence("u-2", 1)
    behind.client.close()


def test_closing_writes_the_changed_keys(redis_server: Services) -> None:
    watch = Watched(redis_server)
    watch.writer.start()
    watch.fold("u-1", "u-1")
    watch.writer.close()
    assert watch.has_sequence("u-1", 2)
    watch.client.close()


def test_more_changed_keys_than_the_limit_drop_the_oldest_and_say_so(
    redis_server: Services, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watched(redis_server, keys_max=2)
    watch.fold("u-1", "u-2", "u-3")
    with caplog.at_level(logging.WARNING):
        watch.writer.start()
        watch.writer.close()
    assert watch.stage.job.dropped_total(USER) == 1
    assert "1 changed user states were not written" in caplog.text
    assert watch.stored("u-1") is None
    assert watch.has_sequence("u-3", 1)
    watch.client.close()


LIVE_KEYS_MAX = 5
KEYS_MAX = 60
USERS = [f"u-{number}" for number in range(4 * KEYS_MAX)]
"""More users than the engine has in memory, and than may wait for Redis."""


@pytest.fixture(params=[0, 5_000, UNLIMITED], ids=["not packed", "some packed", "packed"])
def crowded(redis_server: Services, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A writer that has written all users; its first rewrite, of no key, is done."""
    kept = KeptStates(live_keys_max=LIVE_KEYS_MAX, packed_bytes_max=request.param)
    watch = Watched(redis_server, keys_max=KEYS_MAX, kept=kept)
    watch.writer.start()
    eventually(lambda: watch.is_rewritten("the velocity job has started"))
    for at in range(0, len(USERS), KEYS_MAX):
        watch.fold(*USERS[at : at + KEYS_MAX])
        eventually(lambda: not watch.stage.job.changed_len(USER))
    assert watch.stage.job.live_len(USER) == LIVE_KEYS_MAX
    yield watch
    watch.writer.close()
    watch.client.close()


def assert_all_are_back(watch: Watched) -> None:
    """Every user is as folded; slices were bounded, and nothing was dropped for them."""
    assert [user for user in USERS if not watch.has_sequence(user, 1)] == []
    found = watch.progress()
    assert found is not None
    assert found.keys >= len(USERS)
    assert found.keys <= SLICE_KEYS_MAX * found.slices
    assert watch.stage.job.dropped_total(USER) == 0


@pytest.mark.parametrize(
    ("marker", "reason"),
    [(None, "Redis has lost its data"), (f"{BY_HAND}-1", "a rebuild was asked for")],
)
def test_all_states_are_written_again_also_those_not_in_memory(
    crowded: Watched, marker: str | None, reason: str
) -> None:
    lost = [crowded.key(user) for user in USERS]
    key = marker_key(crowded.project)
    crowded.client.delete(*lost, key)
    if marker is not None:
        crowded.client.set(key, marker)
    crowded.fold("u-busy")
    eventually(lambda: crowded.is_rewritten(reason))
    assert_all_are_back(crowded)
    eventually(lambda: crowded.has_sequence("u-busy", 1))
    now = crowded.client.get(key)
    found = crowded.progress()
    assert found is not None
    assert now == found.marker.encode()


def test_two_writers_that_find_no_marker_both_write_everything(redis_server: Services) -> None:
    users, merchants = Watched(redis_server), Watched(redis_server, position=MERCHANT)
    merchants.project, merchants.stage = users.project, users.stage
    merchants.writer = OnlineWriter(
        users.stage.job,
        MERCHANT,
        connect=lambda: merchants.client,
        flush_ms=FLUSH_MS,
        keys_max=100,
        project=users.project,
    )
    merchants.journals = StoredJournals(users.stage, merchants.writer.rewrite)
    users.fold("u-1", merchant_id="m-1")
    for watch in (users, merchants):
        watch.writer.start()
    eventually(lambda: users.has_sequence("u-1", 1) and merchants.has_sequence("m-1", 1))
    users.client.delete(users.key("u-1"), merchants.key("m-1"), marker_key(users.project))
    for watch in (users, merchants):
        eventually(lambda watch=watch: watch.is_rewritten("Redis has lost its data"))  # type: ignore[misc]
    assert users.has_sequence("u-1", 1)
    assert merchants.has_sequence("m-1", 1)
    for watch in (users, merchants):
        watch.writer.close()
        watch.client.close()


def test_all_states_are_written_again_after_redis_was_killed_and_lost_data(
    local_services: Services,
) -> None:
    stack = local_services.stack
    assert stack is not None
    stack.up(programs=["redis"])
    watch = Watched(local_services, kept=KeptStates(live_keys_max=LIVE_KEYS_MAX))
    watch.writer.start()
    users = USERS[:20]
    watch.fold(*users)
    eventually(lambda: all(watch.has_sequence(user, 1) for user in users))
    eventually(lambda: watch.is_rewritten("the velocity job has started"))
    # Simulates lost data: keys are deleted before Redis is killed; the marker is not.
    watch.client.delete(*map(watch.key, users))
    os.kill(stack.pid("redis"), signal.SIGKILL)
    eventually(lambda: not answers(watch))
    watch.fold("u-busy")
    eventually(lambda: watch.has_sequence("u-busy", 1))
    eventually(lambda: watch.is_rewritten("Redis was started again, or is another one"))
    assert all(watch.has_sequence(user, 1) for user in users)
    watch.writer.close()
    watch.client.close()


def test_changed_keys_that_were_dropped_while_redis_was_slow_are_written_in_the_end(
    crowded: Watched,
) -> None:
    crowded.client.client_pause(400)
    crowded.fold(*USERS)
    assert crowded.stage.job.dropped_total(USER) > 0
    eventually(lambda: crowded.is_rewritten(f"more than {KEYS_MAX} changed keys waited for Redis"))
    assert all(crowded.has_sequence(user, 2) for user in USERS)


def answers(watch: Watched) -> bool:
    try:
        return bool(watch.client.ping())
    except redis.RedisError:
        return False
