"""The Redis adapter against servers that misbehave as networks do.

A scripted server stands in for Redis where Redis cannot be made to behave so; what comes of a
real Redis is in tests/contract/test_feature_reader.py. No real service is needed.
"""

from __future__ import annotations

import asyncio
import socketserver
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from scoring.core.errors import OnlineStoreUnavailableError
from scoring.stores.first_decisions import FirstDecisions
from scoring.stores.guarded_reads import CONNECTIONS_MAX
from scoring.stores.online_reader import (
    FAILURES_MAX,
    RedisFeatureReader,
    connect_reader,
)
from scoring.wiring import steady_clock_ms
from tests.scoring_fakes import MemoryFeatureLog

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SHORT_MS = 50
"""Where the answer must not come in time."""
LONG_MS = 30_000
"""Where it must, on however busy a machine."""
PAUSE_MS = 1_000
"""How long a process does not run; twice the limit of the read it is in."""
NOTHING = b"*4\r\n" + 4 * b"$-1\r\n"


def fields(text: bytes) -> bytes:
    """An answer to one HMGET: the text, four times."""
    return b"*4\r\n" + 4 * (b"$%d\r\n%s\r\n" % (len(text), text))


@asynccontextmanager
async def reader_of(handler: Handler, *, timeout_ms: int) -> AsyncIterator[RedisFeatureReader]:
    async def handle(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        try:
            await handler(incoming, outgoing)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the reader hung up, as it should
        finally:
            outgoing.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader = connect_reader(
        redis_url=f"redis://127.0.0.1:{port}/0",
        project="weir",
        decisions=FirstDecisions(log=MemoryFeatureLog(), now_s=lambda: 0, ttl_s=600),
        timeout_ms=timeout_ms,
        clock_ms=steady_clock_ms,
        on_failure=lambda: None,
    )
    try:
        yield reader
    finally:
        await reader.close()
        server.close()


async def commands(incoming: asyncio.StreamReader, count: int) -> bytes:
    """Read so many HMGETs, each of which ends in the field of the definition digest."""
    received = b""
    for _ in range(count):
        received += await incoming.readuntil(b"_weir_digest:")
        received += await incoming.readuntil(b"\r\n")
    return received


def test_both_entities_are_asked_for_before_either_answers() -> None:
    async def answer_when_both_are_there(
        incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter
    ) -> None:
        await commands(incoming, 2)
        outgoing.write(fields(b"user") + fields(b"merchant"))
        await incoming.read()

    async def scenario() -> None:
        async with reader_of(answer_when_both_are_there, timeout_ms=LONG_MS) as reader:
            pair = await reader.read_entities(user_id="u", merchant_id="m")
        assert list(pair.user) == [b"user"] * 4
        assert list(pair.merchant) == [b"merchant"] * 4

    asyncio.run(scenario())


async def hang(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
    await incoming.read()


async def hang_halfway(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
    await commands(incoming, 2)
    outgoing.write(NOTHING + b"*4\r\n$-1\r\n")
    await incoming.read()


async def hang_up(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
    await commands(incoming, 2)


async def talk_nonsense(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
    outgoing.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await incoming.read()


async def be_loading(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
    while True:
        await commands(incoming, 2)
        outgoing.write(2 * b"-LOADING Redis is loading the dataset in memory\r\n")


async def want_a_password(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
    while True:
        await commands(incoming, 2)
        outgoing.write(2 * b"-NOAUTH Authentication required.\r\n")


@pytest.mark.parametrize(
    ("handler", "timeout_ms", "cause"),
    [
        (hang, SHORT_MS, "Timeout"),
        (hang_halfway, SHORT_MS, "Timeout"),
        (hang_up, LONG_MS, "Connection closed"),
        (talk_nonsense, LONG_MS, "Protocol error"),
        (be_loading, LONG_MS, "loading"),
        (want_a_password, LONG_MS, "Authentication required"),
    ],
)
def test_no_complete_answer_is_an_outage(handler: Handler, timeout_ms: int, cause: str) -> None:
    async def scenario() -> str:
        async with reader_of(handler, timeout_ms=timeout_ms) as reader:
            with pytest.raises(OnlineStoreUnavailableError) as caught:
                await reader.read_entities(user_id="u", merchant_id="m")
        return str(caught.value)

    said = asyncio.run(scenario())
    assert f"give the entities of user 'u' within redis_timeout_ms={timeout_ms}" in said
    assert cause in said


def test_more_reads_than_connections_wait_no_longer_than_one() -> None:
    async def scenario() -> None:
        async with reader_of(hang, timeout_ms=SHORT_MS) as reader:
            reads = (
                reader.read_entities(user_id=f"u-{number}", merchant_id="m")
                for number in range(3 * CONNECTIONS_MAX)
            )
            results = await asyncio.gather(*reads, return_exceptions=True)
        assert {type(result) for result in results} == {OnlineStoreUnavailableError}

    asyncio.run(scenario())


def test_after_some_failures_in_a_row_redis_is_not_asked_for_a_while() -> None:
    asked = 0

    async def count(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await commands(incoming, 2)

    async def scenario() -> list[str]:
        said = []
        async with reader_of(count, timeout_ms=LONG_MS) as reader:
            for _ in range(FAILURES_MAX + 3):
                with pytest.raises(OnlineStoreUnavailableError) as caught:
                    await reader.read_entities(user_id="u", merchant_id="m")
                said.append(str(caught.value))
        return said

    said = asyncio.run(scenario())
    assert ["not called" in text for text in said] == [False] * FAILURES_MAX + [True] * 3
    # Each read that failed had a second try, on a new connection.
    assert asked == 2 * FAILURES_MAX


def test_an_answer_that_comes_too_late_is_not_given_to_the_next_read() -> None:
    is_slow = True
    told_late = asyncio.Event()

    async def answer(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        while True:
            asked = await commands(incoming, 2)
            if is_slow:
                await told_late.wait()
            who = b"slow" if b"u-slow" in asked else b"quick"
            outgoing.write(2 * fields(who))
            await outgoing.drain()

    async def scenario() -> None:
        nonlocal is_slow
        async with reader_of(answer, timeout_ms=SHORT_MS) as reader:
            with pytest.raises(OnlineStoreUnavailableError):
                await reader.read_entities(user_id="u-slow", merchant_id="m")
            is_slow = False
            told_late.set()
            for _ in range(3):
                pair = await reader.read_entities(
                    user_id="u-quick", merchant_id="m", timeout_ms=LONG_MS
                )
                assert pair.user[0] == b"quick"

    asyncio.run(scenario())


def test_a_connection_that_died_while_idle_costs_no_read() -> None:
    connections = 0

    async def answer_once(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await commands(incoming, 2)
        outgoing.write(2 * NOTHING)

    async def scenario() -> None:
        async with reader_of(answer_once, timeout_ms=LONG_MS) as reader:
            for _ in range(3):
                await reader.read_entities(user_id="u", merchant_id="m")
        assert connections == 3

    asyncio.run(scenario())


class AnswerAtOnce(socketserver.StreamRequestHandler):
    """Answers in a thread of its own, whatever the event loop of the test does."""

    answered = threading.Semaphore(0)

    def handle(self) -> None:
        received = b""
        while received.count(b"_weir_digest:") < 2 or not received.endswith(b"\r\n"):
            received += self.request.recv(65_536)
        self.wfile.write(2 * fields(b"there"))
        self.answered.release()
        self.request.recv(1)


def test_an_answer_that_came_while_this_process_did_not_run_is_taken() -> None:
    async def scenario(port: int) -> None:
        reader = connect_reader(
            redis_url=f"redis://127.0.0.1:{port}/0",
            project="weir",
            decisions=FirstDecisions(log=MemoryFeatureLog(), now_s=lambda: 0, ttl_s=600),
            timeout_ms=PAUSE_MS // 2,
            clock_ms=steady_clock_ms,
            on_failure=lambda: None,
        )
        try:
            reading = asyncio.create_task(reader.read_entities(user_id="u", merchant_id="m"))
            # Runs until the question is asked, then not at all until the time is up.
            while not AnswerAtOnce.answered.acquire(blocking=False):
                await asyncio.sleep(0)
            time.sleep(PAUSE_MS / 1000)
            pair = await reading
        finally:
            await reader.close()
        assert pair.user[0] == b"there"

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), AnswerAtOnce) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            asyncio.run(scenario(server.server_address[1]))
        finally:
            server.shutdown()
            thread.join()
