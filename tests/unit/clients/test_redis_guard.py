"""The guard of Redis calls without a Redis: which errors are outages, and what an outage does."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable

import pytest
import redis.exceptions

from clients.errors import RedisUnavailableError
from clients.redis_guard import CIRCUIT_OPEN_MS, RedisGuard, is_outage, time_limit

DOWN = redis.exceptions.ConnectionError("down")


class Redis:
    """A guarded Redis that does what a test tells it to, and a clock that a test moves."""

    def __init__(self, *, timeout_ms: int = 60_000, failures_max: int = 1) -> None:
        self.now_ms = 0.0
        self.failures = 0
        self.calls = 0
        self.error: Exception | None = None
        self.guard = RedisGuard(
            timeout_ms=timeout_ms,
            clock_ms=lambda: self.now_ms,
            on_failure=self.count,
            failures_max=failures_max,
        )

    def count(self) -> None:
        self.failures += 1

    async def command(self) -> str:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return "OK"

    def call(self, command: Callable[[], Awaitable[str]] | None = None) -> str:
        return asyncio.run(self.guard.call(command or self.command, to="answer"))


def test_a_call_that_works_gives_its_reply_and_nothing_else_happens() -> None:
    guarded = Redis()
    assert [guarded.call(), guarded.call()] == ["OK", "OK"]
    assert not guarded.guard.is_open
    assert guarded.failures == 0


def test_a_failure_says_what_the_limit_and_why() -> None:
    guarded = Redis()
    guarded.error = DOWN
    with pytest.raises(
        RedisUnavailableError, match=r"did not answer .*redis_timeout_ms=60000.*down"
    ):
        guarded.call()


def test_after_a_failure_the_circuit_is_open_for_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guarded = Redis()
    guarded.error = DOWN
    with caplog.at_level(logging.WARNING):
        for guarded.now_ms in (0.0, 1.0, CIRCUIT_OPEN_MS - 1.0):
            with pytest.raises(RedisUnavailableError):
                guarded.call()
            assert guarded.guard.is_open
    assert (guarded.calls, guarded.failures, len(caplog.records)) == (1, 1, 1)
    guarded.now_ms = CIRCUIT_OPEN_MS
    assert not guarded.guard.is_open
    with pytest.raises(RedisUnavailableError):
        guarded.call()
    assert (guarded.calls, guarded.failures) == (2, 2)


def test_a_call_that_works_after_the_second_leaves_the_circuit_closed() -> None:
    guarded = Redis()
    guarded.error = DOWN
    with pytest.raises(RedisUnavailableError):
        guarded.call()
    guarded.error = None
    guarded.now_ms = CIRCUIT_OPEN_MS
    assert guarded.call() == "OK"
    assert not guarded.guard.is_open


def test_only_failures_in_a_row_open_the_circuit() -> None:
    guarded = Redis(failures_max=3)
    for errors in ([DOWN, DOWN, None], [DOWN, DOWN]):
        for guarded.error in errors:
            if guarded.error is None:
                guarded.call()
            else:
                with pytest.raises(RedisUnavailableError):
                    guarded.call()
    assert not guarded.guard.is_open
    guarded.error = DOWN
    with pytest.raises(RedisUnavailableError):
        guarded.call()
    assert guarded.guard.is_open


def test_of_many_callers_one_tries_whether_redis_is_back() -> None:
    guarded = Redis(failures_max=2)
    guarded.error = DOWN
    for _ in range(2):
        with pytest.raises(RedisUnavailableError):
            guarded.call()
    guarded.now_ms = CIRCUIT_OPEN_MS
    guarded.error = None

    async def scenario() -> list[str | BaseException]:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def wait() -> str:
            return await answer

        trial = asyncio.create_task(guarded.guard.call(wait, to="answer"))
        await asyncio.sleep(0)
        others = await asyncio.gather(
            *(guarded.guard.call(guarded.command, to="answer") for _ in range(3)),
            return_exceptions=True,
        )
        answer.set_result("back")
        return [await trial, *others, await guarded.guard.call(guarded.command, to="answer")]

    first, *others, last = asyncio.run(scenario())
    assert (first, last) == ("back", "OK")
    assert {type(other) for other in others} == {RedisUnavailableError}


def test_a_call_with_too_little_time_says_nothing_about_redis() -> None:
    guarded = Redis(timeout_ms=1_000)

    async def hang() -> str:
        return await asyncio.get_running_loop().create_future()

    def cut_off(timeout_ms: float) -> str:
        with pytest.raises(RedisUnavailableError) as caught:
            asyncio.run(guarded.guard.call(hang, to="answer", timeout_ms=timeout_ms))
        return str(caught.value)

    assert "within 10 ms" in cut_off(10)
    assert (guarded.failures, guarded.guard.is_open) == (0, False)
    cut_off(500)
    assert (guarded.failures, guarded.guard.is_open) == (1, True)


def test_a_slow_call_is_cut_off() -> None:
    guarded = Redis(timeout_ms=20)

    async def slow() -> str:
        await asyncio.sleep(60)
        return "late"

    with pytest.raises(RedisUnavailableError, match="redis_timeout_ms=20"):
        guarded.call(slow)
    assert guarded.guard.is_open


def test_a_bug_is_raised_as_it_is_and_opens_nothing() -> None:
    guarded = Redis()
    for bug in (redis.exceptions.DataError("not bytes"), TypeError("no")):
        guarded.error = bug
        with pytest.raises(type(bug)):
            guarded.call()
    assert not guarded.guard.is_open
    assert guarded.failures == 0


def test_an_answer_that_came_while_the_process_stood_still_counts() -> None:
    async def scenario() -> str:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        async with time_limit(100):
            # The process stands still past the limit. Its timers run before the answer is seen.
            loop.call_soon(time.sleep, 0.15)
            loop.call_later(0.105, answer.set_result, "in time")
            return await answer

    assert asyncio.run(scenario()) == "in time"


# --- every error of the client, knowingly ----------------------------------------------

BUGS = {
    # About our arguments.
    "DataError",
    # About forked processes; the scorer never forks.
    "ChildDeadlockedError",
    # Of the client for clusters, which is not used: its coming up would be a bug.
    "CrossSlotTransactionError",
    "IncorrectPolicyType",
    "InvalidPipelineStack",
    "RedisClusterException",
    "SlotNotCoveredError",
}
"""All else that the client raises is the world, and an outage."""


def client_errors() -> list[type[Exception]]:
    return [
        kind
        for _, kind in inspect.getmembers(redis.exceptions, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__.startswith("redis.")
    ]


@pytest.mark.parametrize("kind", client_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_client_is_an_outage_or_a_known_bug(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    assert is_outage(error) == (kind.__name__ not in BUGS)


@pytest.mark.parametrize("kind", [ConnectionResetError, TimeoutError, BrokenPipeError, OSError])
def test_what_the_network_raises_is_an_outage(kind: type[Exception]) -> None:
    assert is_outage(kind())


@pytest.mark.parametrize("kind", [TypeError, KeyError, RuntimeError])
def test_what_our_own_code_raises_is_no_outage(kind: type[Exception]) -> None:
    assert not is_outage(kind())
