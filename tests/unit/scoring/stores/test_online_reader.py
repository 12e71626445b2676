"""The Redis adapter without a network: which errors of the client are an outage. All of them."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from redis import exceptions

from clients.redis_guard import RedisGuard
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.stores.first_decisions import FirstDecisions
from scoring.stores.online_reader import RedisFeatureReader
from tests.scoring_fakes import MemoryFeatureLog

CLIENT_ERRORS = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    # Arguments that the client itself refuses are a bug of ours.
    if issubclass(kind, exceptions.RedisError) and kind is not exceptions.DataError
]
SYSTEM_ERRORS = [OSError, ConnectionResetError, ConnectionRefusedError, TimeoutError]


class FailingClient:
    """Fails at whatever it is asked, as a client and as its own pipeline."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def pipeline(self, *, transaction: bool) -> FailingClient:
        assert not transaction
        return self

    def hmget(self, key: bytes, fields: list[bytes]) -> None:
        pass

    async def execute(self) -> Any:
        raise self._error

    def hget(self, key: bytes, field: bytes) -> None:
        pass

    async def ping(self) -> Any:
        raise self._error


def reader_that_meets(error: Exception) -> RedisFeatureReader:
    client: Any = FailingClient(error)
    guard = RedisGuard(timeout_ms=60_000, clock_ms=lambda: 0.0, on_failure=lambda: None)
    decisions = FirstDecisions(log=MemoryFeatureLog(), now_s=lambda: 0, ttl_s=600)
    return RedisFeatureReader(client, guard=guard, project="weir", decisions=decisions)


def made(kind: type[Exception]) -> Exception:
    # What it says is not the point here; the errors of a cluster want a slot and an address.
    return kind("1 127.0.0.1:1")


@pytest.mark.parametrize("kind", [*CLIENT_ERRORS, *SYSTEM_ERRORS], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("asked", ["entities", "decision", "ping"])
def test_every_error_of_the_client_is_an_outage(kind: type[Exception], asked: str) -> None:
    reader = reader_that_meets(made(kind))
    calls = {
        "entities": lambda: reader.read_entities(user_id="u", merchant_id="m"),
        "decision": lambda: reader.read_decision("t"),
        "ping": reader.ping,
    }
    with pytest.raises(OnlineStoreUnavailableError, match="redis_timeout_ms=60000"):
        asyncio.run(calls[asked]())


def test_the_client_has_errors_to_try() -> None:
    assert exceptions.ConnectionError in CLIENT_ERRORS
    assert len(CLIENT_ERRORS) > 20


def test_a_bug_is_not_taken_for_an_outage() -> None:
    for bug in (ZeroDivisionError(), exceptions.DataError("not bytes")):
        with pytest.raises(type(bug)):
            asyncio.run(reader_that_meets(bug).ping())


def test_a_long_answer_of_the_client_is_cut() -> None:
    reader = reader_that_meets(exceptions.ResponseError("x" * 10_000))
    with pytest.raises(OnlineStoreUnavailableError) as caught:
        asyncio.run(reader.read_decision("t" * 128))
    assert len(str(caught.value)) < 400
