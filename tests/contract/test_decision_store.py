"""One suite for every `DecisionStore`: the store in memory of the unit tests, and Redis.

What the port promises, asked of each; then what only Redis can do: go away and come back, be
slow, be asked by two processes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pytest
import redis.exceptions
from prometheus_client import CollectorRegistry
from redis import Redis

from clients.redis_guard import CIRCUIT_OPEN_MS
from scoring.core.ports import DecisionStore, Kept
from scoring.metrics import build_metrics
from scoring.stores.decision_store import (
    CALL_KEYS_MAX,
    RedisDecisionStore,
    connect_decision_store,
    decision_key,
)
from scoring.stores.recent_decisions import RecentDecisions
from tests.scoring_fakes import MemoryStore
from tests.services import Services

T = TypeVar("T")
Proposal = tuple[str, bytes]

TIMEOUT_MS = 2_000
"""Long, so that a busy machine is no outage; tests of slowness choose their own."""


class Connect(Protocol):
    """Makes stores that share what is stored, as two processes would."""

    def __call__(self) -> DecisionStore: ...


def ask(connect: Callable[[], DecisionStore], scenario: Callable[[Any], Awaitable[T]]) -> T:
    async def run() -> T:
        store = connect()
        try:
            return await scenario(store)
        finally:
            await store.close()

    return asyncio.run(run())


def keep(store: DecisionStore, *proposals: Proposal) -> Awaitable[Kept]:
    return store.keep_first(proposals, when_unstored=lambda at: proposals[at][1] + b" unstored")


@pytest.fixture
def new_id() -> Callable[[str], str]:
    """Ids no other test uses, the same for the same name."""
    prefix = uuid.uuid4().hex
    return lambda name: f"{prefix}-{name}"


@pytest.fixture(params=["memory", "redis"])
def connect(request: pytest.FixtureRequest) -> Connect:
    if request.param == "memory":
        shared = MemoryStore()
        return lambda: shared
    services: Services = request.getfixturevalue("redis_server")
    return lambda: redis_store(services.redis_url)


def redis_store(
    url: str, *, timeout_ms: int = TIMEOUT_MS, clock: Clock | None = None
) -> RedisDecisionStore:
    return connect_decision_store(
        redis_url=url,
        ttl_s=600,
        timeout_ms=timeout_ms,
        clock_ms=clock or Clock(),
        metrics=build_metrics(CollectorRegistry()),
    )


@dataclass
class Clock:
    """A clock that a test moves, ms."""

    now_ms: float = 0.0

    def __call__(self) -> float:
        return self.now_ms


# --- what the port promises ------------------------------------------------------------


def test_the_first_decision_of_a_transaction_stands(
    connect: Connect, new_id: Callable[[str], str]
) -> None:
    async def scenario(store: DecisionStore) -> list[Kept]:
        return [await keep(store, (new_id("a"), value)) for value in (b"first", b"second")]

    kept = ask(connect, scenario)
    assert kept == [Kept([b"first"], stored=True), Kept([b"first"], stored=True)]


def test_it_stands_for_another_process_too(connect: Connect, new_id: Callable[[str], str]) -> None:
    ask(connect, lambda store: keep(store, (new_id("a"), b"first")))
    kept = ask(connect, lambda store: keep(store, (new_id("a"), b"second"), (new_id("b"), b"new")))
    assert kept == Kept([b"first", b"new"], stored=True)


def test_of_two_proposals_in_one_batch_the_earlier_one_stands(
    connect: Connect, new_id: Callable[[str], str]
) -> None:
    kept = ask(
        connect,
        lambda store: keep(store, (new_id("a"), b"1"), (new_id("b"), b"2"), (new_id("a"), b"3")),
    )
    assert kept.values == [b"1", b"2", b"1"]


@pytest.mark.parametrize("more", [-1, 0, 1, CALL_KEYS_MAX + 1])
def test_a_batch_of_any_size_is_answered_in_its_order(
    connect: Connect, new_id: Callable[[str], str], more: int
) -> None:
    proposals = [(new_id(str(at)), str(at).encode()) for at in range(CALL_KEYS_MAX + more)]
    again = [(transaction_id, b"again") for transaction_id, _ in reversed(proposals)]
    values = [value for _, value in proposals]
    assert ask(connect, lambda store: keep(store, *proposals)).values == values
    assert ask(connect, lambda store: keep(store, *again)).values == values[::-1]


def test_an_empty_batch_is_nothing_to_keep(connect: Connect) -> None:
    assert ask(connect, keep) == Kept([], stored=True)


def test_any_bytes_come_back_as_they_were(connect: Connect, new_id: Callable[[str], str]) -> None:
    value = bytes(range(256))
    ask(connect, lambda store: keep(store, (new_id("ä ☃"), value)))
    assert ask(connect, lambda store: keep(store, (new_id("ä ☃"), b""))).values == [value]


# --- what only Redis can do ------------------------------------------------------------


@pytest.fixture
def server(redis_server: Services) -> Iterator[Redis]:
    client = Redis.from_url(redis_server.redis_url)
    yield client
    client.close()


def test_a_decision_lies_under_its_key_with_its_time_to_live(
    redis_server: Services, server: Redis, new_id: Callable[[str], str]
) -> None:
    ask(lambda: redis_store(redis_server.redis_url), lambda s: keep(s, (new_id("a"), b"first")))
    assert server.get(decision_key(new_id("a"))) == b"first"
    ttl_s = server.ttl(decision_key(new_id("a")))
    assert isinstance(ttl_s, int)
    assert 0 < ttl_s <= 600


def test_a_repeat_does_not_make_a_decision_live_longer(
    redis_server: Services, server: Redis, new_id: Callable[[str], str]
) -> None:
    key = decision_key(new_id("a"))
    ask(lambda: redis_store(redis_server.redis_url), lambda s: keep(s, (new_id("a"), b"first")))
    server.expire(key, 10)
    ask(lambda: redis_store(redis_server.redis_url), lambda s: keep(s, (new_id("a"), b"again")))
    ttl_s = server.ttl(key)
    assert isinstance(ttl_s, int)
    assert ttl_s <= 10


def test_scripts_that_redis_forgot_in_a_restart_are_given_again(
    redis_server: Services, server: Redis, new_id: Callable[[str], str]
) -> None:
    async def scenario(store: DecisionStore) -> Kept:
        await keep(store, (new_id("a"), b"first"))
        server.script_flush()
        return await keep(store, (new_id("b"), b"first"))

    assert ask(lambda: redis_store(redis_server.redis_url), scenario).stored


class Outage:
    """Stands between a store and its Redis: lets calls through, or fails them."""

    def __init__(self, store: RedisDecisionStore) -> None:
        self.error: Exception | None = None
        self.delay_s = 0.0
        self.calls = 0
        self._script = store._script
        store._script = self

    async def __call__(self, **arguments: Any) -> Any:
        self.calls += 1
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        return await self._script(**arguments)


def test_without_redis_decisions_go_on_unstored_and_repeats_are_still_identical(
    redis_server: Services, new_id: Callable[[str], str]
) -> None:
    async def scenario(store: RedisDecisionStore) -> None:
        outage = Outage(store)
        before = await keep(store, (new_id("a"), b"first"))
        outage.error = redis.exceptions.ConnectionError("down")
        during = await keep(store, (new_id("a"), b"again"), (new_id("b"), b"new"))
        repeat = await keep(store, (new_id("b"), b"again"))
        assert before == Kept([b"first"], stored=True)
        assert during == Kept([b"first", b"new unstored"], stored=False)
        assert repeat.values == [b"new unstored"]

    ask(lambda: redis_store(redis_server.redis_url), scenario)


def test_after_a_failure_redis_is_left_alone_until_the_circuit_closes(
    redis_server: Services, new_id: Callable[[str], str]
) -> None:
    clock = Clock()

    async def scenario(store: RedisDecisionStore) -> None:
        outage = Outage(store)
        outage.error = redis.exceptions.ConnectionError("down")
        for at, now_ms in enumerate((0.0, 1.0, CIRCUIT_OPEN_MS - 1.0)):
            clock.now_ms = now_ms
            assert not (await keep(store, (new_id(str(at)), b"x"))).stored
        assert outage.calls == 1
        outage.error = None
        clock.now_ms = CIRCUIT_OPEN_MS
        assert (await keep(store, (new_id("back"), b"x"))).stored
        assert outage.calls > 1

    ask(lambda: redis_store(redis_server.redis_url, clock=clock), scenario)


def test_what_was_decided_unstored_is_stored_when_redis_is_back(
    redis_server: Services, server: Redis, new_id: Callable[[str], str]
) -> None:
    clock = Clock()

    async def scenario(store: RedisDecisionStore) -> None:
        outage = Outage(store)
        outage.error = redis.exceptions.ConnectionError("down")
        await keep(store, (new_id("a"), b"first"))
        assert server.get(decision_key(new_id("a"))) is None
        outage.error = None
        clock.now_ms = CIRCUIT_OPEN_MS
        await keep(store, (new_id("b"), b"first"))

    ask(lambda: redis_store(redis_server.redis_url, clock=clock), scenario)
    other = ask(
        lambda: redis_store(redis_server.redis_url), lambda s: keep(s, (new_id("a"), b"other"))
    )
    assert other == Kept([b"first unstored"], stored=True)


def test_a_redis_that_is_slow_counts_as_away_after_the_time_limit(
    redis_server: Services, new_id: Callable[[str], str]
) -> None:
    async def scenario(store: RedisDecisionStore) -> Kept:
        Outage(store).delay_s = 3_600
        return await keep(store, (new_id("a"), b"first"))

    kept = ask(lambda: redis_store(redis_server.redis_url, timeout_ms=20), scenario)
    assert kept == Kept([b"first unstored"], stored=False)


def test_nobody_at_the_address_is_an_outage_and_no_error(new_id: Callable[[str], str]) -> None:
    kept = ask(lambda: redis_store("redis://127.0.0.1:1/0"), lambda s: keep(s, (new_id("a"), b"x")))
    assert kept == Kept([b"x unstored"], stored=False)


def test_an_argument_that_the_client_refuses_is_a_bug_and_no_outage(
    redis_server: Services, new_id: Callable[[str], str]
) -> None:
    async def scenario(store: RedisDecisionStore) -> None:
        Outage(store).error = redis.exceptions.DataError("not bytes")
        with pytest.raises(redis.exceptions.DataError):
            await keep(store, (new_id("a"), b"x"))

    ask(lambda: redis_store(redis_server.redis_url), scenario)


# --- the memory ------------------------------------------------------------------------


def test_a_memory_smaller_than_a_batch_still_answers_the_batch(
    redis_server: Services, new_id: Callable[[str], str]
) -> None:
    async def scenario(store: RedisDecisionStore) -> None:
        store._recent = RecentDecisions(limit=1)
        await keep(store, (new_id("0"), b"first"))
        proposals = [(new_id(str(at)), b"again") for at in range(5)]
        kept = await keep(store, *proposals)
        assert kept.values == [b"first", b"again", b"again", b"again", b"again"]

    ask(lambda: redis_store(redis_server.redis_url), scenario)
