"""One suite for every `DecisionStore`: the store in memory of the unit tests, and Redis.

What the port promises, asked of each; then what only Redis can do: go away and come back, be
slow, be asked by two processes.
"""

from __future__ import annotations

import asyncio
import time
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
)
from scoring.stores.kept_decisions import CONTEXTS_KEY, DAY_S, day_keys, id_digest
from scoring.stores.recent_decisions import RecentDecisions
from tests.scoring_fakes import MemoryStore
from tests.services import Services

T = TypeVar("T")
Proposal = tuple[str, bytes]

TTL_S = 2 * DAY_S
NOW_S = int(time.time())
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
    return store.keep_first(
        [(transaction_id.encode(), value) for transaction_id, value in proposals],
        contexts={},
        when_unstored=lambda at: proposals[at][1] + b" unstored",
    )


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
    url: str, *, timeout_ms: int = TIMEOUT_MS, clock: Clock | None = None, now_s: int = NOW_S
) -> RedisDecisionStore:
    return connect_decision_store(
        redis_url=url,
        ttl_s=TTL_S,
        timeout_ms=timeout_ms,
        clock_ms=clock or Clock(),
        now_s=lambda: now_s,
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


def field(transaction_id: str) -> bytes:
    return id_digest(transaction_id.encode())


def test_a_decision_is_in_the_hash_of_its_day_which_lives_for_the_time_to_live_after_it(
    redis_server: Services, server: Redis, new_id: Callable[[str], str]
) -> None:
    # A day of its own: another test, with another time to live, may have begun that of today.
    now_s = NOW_S + 60 * DAY_S
    url = redis_server.redis_url
    ask(lambda: redis_store(url, now_s=now_s), lambda s: keep(s, (new_id("a"), b"first")))
    key = day_keys(now_s, ttl_s=TTL_S)[0]
    assert server.hget(key, field(new_id("a"))) == b"first"
    assert server.expiretime(key) == (now_s // DAY_S + 1) * DAY_S + TTL_S


@pytest.mark.parametrize("days", [1, 2])
def test_a_decision_of_an_earlier_day_stands_and_does_not_live_longer(
    redis_server: Services, server: Redis, new_id: Callable[[str], str], days: int
) -> None:
    url = redis_server.redis_url
    ask(lambda: redis_store(url), lambda s: keep(s, (new_id("a"), b"first")))
    later = NOW_S + days * DAY_S
    kept = ask(
        lambda: redis_store(url, now_s=later),
        lambda s: keep(s, (new_id("a"), b"again"), (new_id("b"), b"new")),
    )
    assert kept == Kept([b"first", b"new"], stored=True)
    of_that_day = day_keys(later, ttl_s=TTL_S)[0]
    assert server.hget(of_that_day, field(new_id("a"))) is None
    assert server.hget(of_that_day, field(new_id("b"))) == b"new"


def test_a_process_whose_clock_is_behind_at_midnight_finds_what_another_has_kept(
    redis_server: Services, new_id: Callable[[str], str]
) -> None:
    url = redis_server.redis_url
    midnight_s = (NOW_S // DAY_S + 3) * DAY_S
    ask(lambda: redis_store(url, now_s=midnight_s), lambda s: keep(s, (new_id("a"), b"first")))
    kept = ask(
        lambda: redis_store(url, now_s=midnight_s - 1), lambda s: keep(s, (new_id("a"), b"again"))
    )
    assert kept.values == [b"first"]


def test_a_decision_takes_less_than_a_hundred_bytes(
    redis_server: Services, server: Redis, new_id: Callable[[str], str]
) -> None:
    # A day on which no other test keeps anything.
    now_s = NOW_S + 30 * DAY_S
    count = 20_000
    proposals = [(new_id(str(at)), bytes(29)) for at in range(count)]
    ask(lambda: redis_store(redis_server.redis_url, now_s=now_s), lambda s: keep(s, *proposals))
    key = day_keys(now_s, ttl_s=TTL_S)[0]
    assert server.hlen(key) == count
    taken = server.memory_usage(key, samples=0)
    assert isinstance(taken, int)
    assert taken / count < 100


def test_a_context_is_stored_before_the_decisions_that_name_it(
    redis_server: Services, server: Redis, new_id: Callable[[str], str]
) -> None:
    digest, content = new_id("c").encode(), b"context"

    async def scenario(store: RedisDecisionStore) -> tuple[Kept, bytes | None]:
        kept = await store.keep_first(
            [(new_id("a").encode(), b"first")],
            contexts={digest: content},
            when_unstored=lambda _: b"unstored",
        )
        return kept, await store.context(digest)

    kept, context = ask(lambda: redis_store(redis_server.redis_url), scenario)
    assert (kept, context) == (Kept([b"first"], stored=True), content)
    assert server.hget(CONTEXTS_KEY, digest) == content


def test_an_unknown_context_is_none(redis_server: Services, new_id: Callable[[str], str]) -> None:
    unknown = new_id("unknown").encode()
    found = ask(lambda: redis_store(redis_server.redis_url), lambda s: s.context(unknown))
    assert found is None


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
        today = day_keys(NOW_S, ttl_s=TTL_S)[0]
        assert server.hget(today, field(new_id("a"))) is None
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


def test_after_a_loss_what_redis_does_not_know_is_kept_as_unstored(
    redis_server: Services, new_id: Callable[[str], str]
) -> None:
    async def scenario(store: RedisDecisionStore) -> list[Kept]:
        await keep(store, (new_id("a"), b"first"))
        store.note_loss(True)
        during = await keep(store, (new_id("a"), b"again"), (new_id("b"), b"b"))
        store.note_loss(False)
        return [during, await keep(store, (new_id("b"), b"again"), (new_id("c"), b"c"))]

    during, after = ask(lambda: redis_store(redis_server.redis_url), scenario)
    assert during == Kept([b"first", b"b unstored"], stored=True)
    assert after == Kept([b"b unstored", b"c"], stored=True)


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
