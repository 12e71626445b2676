"""One suite for every `BatchFeatureReader`: the fake of the unit tests, and Redis."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis

from clients.redis_guard import CIRCUIT_OPEN_MS
from features.batch import BATCH_NAMES, BATCH_VIEW
from features.online import feast_values
from features.online import layout as online_store
from features.online.batch_values import decode_batch_features
from scoring.core.ports import BatchFeatureReader, StoredBatch
from scoring.metrics import build_metrics
from scoring.stores.batch_reader import CALL_USERS_MAX, RedisBatchReader, connect_batch_reader
from tests.builders import NOW_MS
from tests.relay import relay_to
from tests.scoring_fakes import MemoryBatchReader
from tests.services import Services

T = TypeVar("T")
Scenario = Callable[[BatchFeatureReader], Awaitable[T]]


class Store(Protocol):
    """One implementation, with a way to put things in and to take it down."""

    def put(self, user_id: str, fields: dict[bytes, bytes]) -> None: ...
    def complete(self, snapshot_ms: int) -> None: ...
    def go_down(self) -> None: ...
    def connect(self) -> BatchFeatureReader: ...


class FakeStore:
    def __init__(self) -> None:
        self.reader = MemoryBatchReader()

    def put(self, user_id: str, fields: dict[bytes, bytes]) -> None:
        self.reader.users[user_id] = fields

    def complete(self, snapshot_ms: int) -> None:
        self.reader.complete = b"%d" % snapshot_ms

    def go_down(self) -> None:
        self.reader.is_away = True

    def connect(self) -> BatchFeatureReader:
        return self.reader


class RedisStore:
    def __init__(self, url: str) -> None:
        self.url = url
        self.project = f"weir-{uuid.uuid4().hex}"
        self.client = Redis.from_url(url)
        self.failures = build_metrics(CollectorRegistry()).batch_failures
        # Where Feast was imported before, counters of one name are one, whatever their registry.
        self._failed_before = self._count()
        self.now_ms = 0.0

    def put(self, user_id: str, fields: dict[bytes, bytes]) -> None:
        key = online_store.entity_key("user", user_id, self.project)
        self.client.hset(key, mapping=fields)

    def complete(self, snapshot_ms: int) -> None:
        self.client.set(online_store.complete_key(self.project), snapshot_ms)

    def go_down(self) -> None:
        self.url = "redis://127.0.0.1:1/0"

    def connect(self, *, timeout_ms: int = 5_000) -> RedisBatchReader:
        # The suite asks what comes back, not how fast: a busy machine must not fail it.
        return connect_batch_reader(
            redis_url=self.url,
            project=self.project,
            timeout_ms=timeout_ms,
            clock_ms=lambda: self.now_ms,
            failures=self.failures,
        )

    def failed(self) -> float:
        return self._count() - self._failed_before

    def _count(self) -> float:
        (metric,) = self.failures.collect()
        return metric.samples[0].value


def run(reader: BatchFeatureReader, scenario: Scenario[T]) -> T:
    async def connected() -> T:
        try:
            return await scenario(reader)
        finally:
            await reader.close()

    return asyncio.run(connected())


def read(store: Store, *user_ids: str) -> Sequence[StoredBatch] | None:
    return run(store.connect(), lambda it: it.read_users(user_ids))


def fields_of(count: int) -> dict[bytes, bytes]:
    """What Feast writes about a user, beside what the velocity job does."""
    return {
        b"_ts:user_velocity": b"",
        online_store.timestamp_field(BATCH_VIEW): feast_values.timestamp_value(NOW_MS),
        **{
            online_store.field_name(BATCH_VIEW, name): feast_values.int64_value(count)
            for name in BATCH_NAMES
        },
    }


def counts(found: Sequence[StoredBatch] | None) -> list[object]:
    assert found is not None
    return [decode_batch_features(*each).as_of(NOW_MS).features[BATCH_NAMES[0]] for each in found]


class Suite:
    """What the port promises."""

    def test_users_come_in_the_order_they_were_asked_for(self, store: Store) -> None:
        for number in range(5):
            store.put(f"u-{number}", fields_of(number))
        assert counts(read(store, "u-3", "u-1", "u-4")) == [3, 1, 4]

    def test_who_has_nothing_has_no_fields_and_the_mark_is_the_same_for_all(
        self, store: Store
    ) -> None:
        store.put("u-1", fields_of(1))
        assert [each.complete for each in read(store, "u-1", "nobody") or ()] == [None, None]
        store.complete(NOW_MS)
        known, nobody = read(store, "u-1", "nobody") or ()
        assert known.complete == nobody.complete == b"%d" % NOW_MS
        assert list(nobody.fields) == [None] * 5
        assert counts([known, nobody]) == [1, 0]

    def test_any_number_of_users_is_read(self, store: Store) -> None:
        ids = [f"u-{number}" for number in range(CALL_USERS_MAX + 1)]
        for number in (0, CALL_USERS_MAX - 1, CALL_USERS_MAX):
            store.put(ids[number], fields_of(number))
        store.complete(NOW_MS)
        found = counts(read(store, *ids))
        assert len(found) == len(ids)
        assert found[CALL_USERS_MAX - 1 :] == [CALL_USERS_MAX - 1, CALL_USERS_MAX]

    @pytest.mark.parametrize("user_id", ["ü", "a b", "日本", "x" * 128, "*", "{u}"])
    def test_any_id_is_read_as_itself(self, store: Store, user_id: str) -> None:
        store.put(user_id, fields_of(7))
        store.complete(NOW_MS)
        assert counts(read(store, user_id, user_id + "x")) == [7, 0]

    def test_a_newer_write_is_seen_at_once(self, store: Store) -> None:
        async def scenario(reader: BatchFeatureReader) -> list[object]:
            found: list[object] = []
            for count in (1, 2):
                store.put("u", fields_of(count))
                found += counts(await reader.read_users(["u"]))
            return found

        assert run(store.connect(), scenario) == [1, 2]

    def test_a_store_that_is_away_gives_nothing_and_raises_nothing(self, store: Store) -> None:
        store.go_down()
        assert read(store, "u") is None


class TestFake(Suite):
    @pytest.fixture
    def store(self) -> Store:
        return FakeStore()


class TestRedis(Suite):
    @pytest.fixture
    def store(self, redis_server: Services) -> Iterator[Store]:
        store = RedisStore(redis_server.redis_url)
        with store.client:
            yield store

    def test_a_batch_of_users_is_one_command(self, store: RedisStore) -> None:
        store.put("u-1", fields_of(1))
        read(store, "u-1")

        def calls() -> int:
            return int(store.client.info("commandstats")["cmdstat_evalsha"]["calls"])

        before = calls()
        read(store, *(f"u-{number}" for number in range(100)))
        assert calls() == before + 1

    def test_after_a_failure_redis_is_left_alone_for_a_second(self, store: RedisStore) -> None:
        address = urlsplit(store.url)
        assert address.hostname is not None
        assert address.port is not None
        with relay_to(address.hostname, address.port) as relay:
            store.url = f"redis://127.0.0.1:{relay.port}/0"

            async def scenario(reader: BatchFeatureReader) -> None:
                assert await reader.read_users(["u"]) is not None
                relay.hang()
                for now_ms in (0, CIRCUIT_OPEN_MS - 1):
                    store.now_ms = now_ms
                    # The second time Redis is not called, or it would have failed once more.
                    assert await reader.read_users(["u"]) is None
                    assert store.failed() == 1
                relay.restore()
                store.now_ms = CIRCUIT_OPEN_MS
                assert await reader.read_users(["u"]) is not None

            run(store.connect(timeout_ms=300), scenario)

    def test_a_key_of_another_kind_is_an_outage_not_a_crash(self, store: RedisStore) -> None:
        key = online_store.entity_key("user", "u-1", store.project)
        store.client.set(key, b"not a hash", ex=600)
        assert read(store, "u-1") is None
        assert store.failed() == 1
