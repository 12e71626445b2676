"""One suite for every `FeatureReader`: the fake of the unit tests, and Redis.

What the port promises, asked of each. What only a network can do (a server that hangs, that
answers late, that talks nonsense) is in tests/integration/test_online_reader.py.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

import pytest
from redis import Redis

from features.definitions import Entity
from features.engine.state import MerchantState, UserState
from features.online import layout as online_store
from schemas.decision import Offset
from schemas.feature_row import FeatureRow
from schemas.output_codec import encode_decision, encode_feature_row
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.ports import EntityPair, FeatureReader
from scoring.stores.first_decisions import FirstDecisions
from scoring.stores.online_reader import connect_reader
from scoring.wiring import steady_clock_ms
from tests.builders import DECISION, NOW_MS
from tests.feature_reader_fake import FakeFeatureReader
from tests.kept_decision import keep_decision
from tests.scoring_fakes import MemoryFeatureLog, feature_row
from tests.services import Services

T = TypeVar("T")
Scenario = Callable[[FeatureReader], Awaitable[T]]


class Store(Protocol):
    """One implementation, with a way to put things in and to take it down."""

    def put(self, entity: Entity, entity_id: str, fields: dict[bytes, bytes]) -> None: ...
    def put_decision(self, row: FeatureRow) -> bytes: ...
    def complete(self, snapshot_ms: int) -> None: ...
    def go_down(self) -> None: ...
    def connect(self) -> FeatureReader: ...


class FakeStore:
    def __init__(self) -> None:
        self.reader = FakeFeatureReader()

    def put(self, entity: Entity, entity_id: str, fields: dict[bytes, bytes]) -> None:
        entities = self.reader.users if entity == "user" else self.reader.merchants
        entities[entity_id] = fields

    def put_decision(self, row: FeatureRow) -> bytes:
        transaction_id = row.transaction.transaction_id
        value = self.reader.decisions[transaction_id] = encode_decision(DECISION)
        return value

    def complete(self, snapshot_ms: int) -> None:
        self.reader.complete = b"%d" % snapshot_ms

    def go_down(self) -> None:
        self.reader.is_down = True

    def connect(self) -> FeatureReader:
        return self.reader


class RedisStore:
    def __init__(self, url: str) -> None:
        self.url = url
        self.log = MemoryFeatureLog()
        self.project = f"weir-{uuid.uuid4().hex}"
        self.client = Redis.from_url(url)

    def put(self, entity: Entity, entity_id: str, fields: dict[bytes, bytes]) -> None:
        key = online_store.entity_key(entity, entity_id, self.project)
        names = online_store.hash_names(entity)
        arguments = online_store.write_arguments(entity, [key], [fields[name] for name in names])
        assert self.client.eval(online_store.WRITE_SCRIPT, *arguments) == 1
        others = {name: value for name, value in fields.items() if name not in names}
        if others:  # as Feast's materialisation writes them
            self.client.hset(key, mapping=others)

    def put_decision(self, row: FeatureRow) -> bytes:
        place = Offset(1, 41)
        self.log.rows[place] = encode_feature_row(row)
        return keep_decision(self.client, row, place, now_s=NOW_MS // 1_000)

    def complete(self, snapshot_ms: int) -> None:
        self.client.set(online_store.complete_key(self.project), snapshot_ms, ex=600)

    def go_down(self) -> None:
        self.url = "redis://127.0.0.1:1/0"

    def connect(self) -> FeatureReader:
        # The suite asks what comes back, not how fast: a busy machine must not fail it.
        return connect_reader(
            redis_url=self.url,
            project=self.project,
            decisions=FirstDecisions(log=self.log, now_s=lambda: NOW_MS // 1_000, ttl_s=600),
            timeout_ms=5_000,
            clock_ms=steady_clock_ms,
            on_failure=lambda: None,
        )


def run(store: Store, scenario: Scenario[T]) -> T:
    async def connected() -> T:
        reader = store.connect()
        try:
            return await scenario(reader)
        finally:
            await reader.close()

    return asyncio.run(connected())


def read(store: Store, user_id: str, merchant_id: str | None) -> EntityPair:
    return run(store, lambda it: it.read_entities(user_id=user_id, merchant_id=merchant_id))


def fields_of(entity: Entity, count: int) -> dict[bytes, bytes]:
    """What the velocity job writes about an entity that has had so many events."""
    state: UserState | MerchantState = UserState() if entity == "user" else MerchantState()
    for number in range(count):
        if isinstance(state, UserState):
            values = state.fold(
                transaction_id=f"t-{number}",
                merchant_id="m",
                amount_minor=100,
                event_time_ms=NOW_MS + number,
            )
        else:
            values = state.fold_transaction(
                transaction_id=f"t-{number}", event_time_ms=NOW_MS + number, is_repeat=False
            )
    return online_store.hash_fields(
        entity,
        values,
        state=state.encode_online(),
        sequence=state.sequence,
        event_time_ms=NOW_MS + count - 1,
    )


class Suite:
    """What the port promises."""

    def test_what_was_written_is_read(self, store: Store) -> None:
        store.put("user", "u-1", fields_of("user", 3))
        store.put("merchant", "m-1", fields_of("merchant", 5))
        pair = read(store, "u-1", "m-1")
        user = online_store.decode_values("user", pair.user)
        merchant = online_store.decode_values("merchant", pair.merchant)
        assert user is not None
        assert merchant is not None
        assert (user.sequence, user.event_time_ms) == (3, NOW_MS + 2)
        assert (merchant.sequence, merchant.event_time_ms) == (5, NOW_MS + 4)
        values = UserState.decode(user.state).read(as_of_ms=NOW_MS + 2)
        assert values.features["user_amount_sum_5m"] == 300

    def test_entities_of_one_id_are_two(self, store: Store) -> None:
        store.put("user", "same", fields_of("user", 1))
        pair = read(store, "same", "same")
        assert any(pair.user)
        assert not any(pair.merchant)

    def test_entities_never_seen_have_no_fields(self, store: Store) -> None:
        pair = read(store, "nobody", "nowhere")
        assert online_store.decode_values("user", pair.user) is None
        assert online_store.decode_values("merchant", pair.merchant) is None

    def test_a_user_alone_can_be_read(self, store: Store) -> None:
        store.put("user", "u-1", fields_of("user", 2))
        pair = read(store, "u-1", None)
        assert any(pair.user)
        assert list(pair.merchant) == []

    @pytest.mark.parametrize("merchant_id", ["m-1", None])
    def test_batch_features_come_along_when_asked_for_and_only_then(
        self, store: Store, merchant_id: str | None
    ) -> None:
        statistics = {name: b"%d" % at for at, name in enumerate(online_store.batch_fields())}
        store.put("user", "u-1", {**fields_of("user", 2), **statistics})
        store.put("merchant", "m-1", fields_of("merchant", 5))
        without = read(store, "u-1", merchant_id)
        assert without.batch is None

        def asked(user_id: str) -> EntityPair:
            return run(
                store,
                lambda it: it.read_entities(
                    user_id=user_id, merchant_id=merchant_id, with_batch=True
                ),
            )

        assert asked("u-1").batch == (list(statistics.values()), None)
        store.complete(NOW_MS)
        pair = asked("u-1")
        assert pair.batch == (list(statistics.values()), b"%d" % NOW_MS)
        assert (pair.user, list(pair.merchant)) == (without.user, list(without.merchant))
        assert asked("nobody").batch == ([None] * len(statistics), b"%d" % NOW_MS)

    @pytest.mark.parametrize("user_id", ["ü", "a b", "u\n1", "日本", "x" * 128, "*", "{u}"])
    def test_any_id_is_read_as_itself(self, store: Store, user_id: str) -> None:
        store.put("user", user_id, fields_of("user", 1))
        assert any(read(store, user_id, None).user)
        assert not any(read(store, user_id + "x", None).user)

    def test_a_newer_write_is_seen_at_once(self, store: Store) -> None:
        store.put("user", "u-1", fields_of("user", 1))

        async def scenario(reader: FeatureReader) -> list[int]:
            found = []
            for count in (1, 2, 3):
                if count > 1:
                    store.put("user", "u-1", fields_of("user", count))
                pair = await reader.read_entities(user_id="u-1", merchant_id=None)
                entity = online_store.decode_values("user", pair.user)
                assert entity is not None
                found.append(entity.sequence)
            return found

        assert run(store, scenario) == [1, 2, 3]

    def test_reads_at_the_same_time_do_not_mix(self, store: Store) -> None:
        for number in range(1, 41):
            store.put("user", f"u-{number}", fields_of("user", number))

        async def scenario(reader: FeatureReader) -> list[EntityPair]:
            reads = (
                reader.read_entities(user_id=f"u-{number}", merchant_id="m")
                for number in range(1, 41)
            )
            return list(await asyncio.gather(*reads))

        entities = [online_store.decode_values("user", pair.user) for pair in run(store, scenario)]
        assert [entity and entity.sequence for entity in entities] == list(range(1, 41))

    @pytest.mark.parametrize("with_batch", [True, False])
    def test_many_are_read_as_each_by_itself(self, store: Store, with_batch: bool) -> None:
        statistics = {name: b"%d" % at for at, name in enumerate(online_store.batch_fields())}
        for number in range(1, 4):
            store.put("user", f"u-{number}", {**fields_of("user", number), **statistics})
            store.put("merchant", f"m-{number}", fields_of("merchant", number))
        store.complete(NOW_MS)
        ids = [("u-1", "m-1"), ("u-2", "m-1"), ("u-1", None), ("nobody", "m-3"), ("u-1", "m-1")]

        async def scenario(reader: FeatureReader) -> tuple[list[EntityPair], list[EntityPair]]:
            each = [
                await reader.read_entities(
                    user_id=user_id, merchant_id=merchant_id, with_batch=with_batch
                )
                for user_id, merchant_id in ids
            ]
            return await reader.read_many(ids, with_batch=with_batch), each

        together, each = run(store, scenario)
        assert together == each
        assert run(store, lambda it: it.read_many([])) == []

    def test_a_decision_is_read_byte_for_byte(self, store: Store) -> None:
        transaction_id = f"t-{uuid.uuid4().hex}"
        sent = store.put_decision(feature_row(transaction_id))
        assert run(store, lambda it: it.read_decision(transaction_id)) == sent

    def test_no_decision_is_none(self, store: Store) -> None:
        assert run(store, lambda it: it.read_decision(f"t-{uuid.uuid4().hex}")) is None

    def test_a_store_that_answers_can_be_pinged(self, store: Store) -> None:
        run(store, lambda it: it.ping())

    @pytest.mark.parametrize("asked", ["entities", "many", "decision", "ping"])
    def test_a_store_that_is_down_is_named_so(self, store: Store, asked: str) -> None:
        store.go_down()
        scenarios: dict[str, Scenario[object]] = {
            "entities": lambda it: it.read_entities(user_id="u", merchant_id="m"),
            "many": lambda it: it.read_many([("u", "m")]),
            "decision": lambda it: it.read_decision("t"),
            "ping": lambda it: it.ping(),
        }
        with pytest.raises(OnlineStoreUnavailableError):
            run(store, scenarios[asked])


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

    def test_a_key_of_another_kind_is_an_outage_not_a_crash(self, store: RedisStore) -> None:
        key = online_store.entity_key("user", "u-1", store.project)
        store.client.set(key, b"not a hash", ex=600)
        with pytest.raises(OnlineStoreUnavailableError, match="WRONGTYPE"):
            read(store, "u-1", "m-1")
