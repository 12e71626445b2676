"""The Redis adapter of `scoring.core.ports.FeatureReader`: one pipelined round trip a read.

Owns the connection pool and every limit on waiting. Refuses to know what the bytes mean:
keys, fields and decoding are `features.online.layout`'s. Built by `scoring.wiring`,
called by the API only; the worker reads no state from Redis, and batch features by
`scoring.stores.batch_reader`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from features.definitions import Entity
from features.online import layout as online_store
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.ports import EntityPair, StoredBatch
from scoring.stores.decision_store import decision_key

_T = TypeVar("_T")

# At 300 requests/s and the default limit of 50 ms, a Redis that hangs holds 15 connections.
CONNECTIONS_MAX = 32

LAST_STEP = 0.2
"""The part of the time limit that starts when this process gets to run again."""


class RedisFeatureReader:
    """Reads entities and first decisions from Redis, each within ``timeout_ms``."""

    def __init__(self, client: Redis, *, project: str, timeout_ms: int) -> None:
        """Use an existing client; `connect_reader` makes one with the right limits.

        Args:
            client: answers bytes (``decode_responses`` off); closed by `close`.
            project: the Feast project whose keys are read.
            timeout_ms: limit of every read in ms, waiting for a connection included.
        """
        self._client = client
        self._project = project
        self._timeout_ms = timeout_ms

    async def read_entities(
        self, *, user_id: str, merchant_id: str | None, with_batch: bool = False
    ) -> EntityPair:
        """Read everything by one pipeline of at most three commands; see the port."""
        pipeline = self._client.pipeline(transaction=False)
        state = online_store.state_fields("user")
        batch = online_store.batch_fields() if with_batch else ()
        if with_batch:
            # First, as it is written last: who has no values after it had none before it.
            pipeline.get(online_store.complete_key(self._project))
        self._ask(pipeline, "user", user_id, (*state, *batch))
        if merchant_id is not None:
            self._ask(pipeline, "merchant", merchant_id, online_store.state_fields("merchant"))
        replies = await self._bounded(pipeline.execute(), f"entities of user {user_id!r:.80}")
        complete = replies.pop(0) if with_batch else None
        user, *others = replies
        return EntityPair(
            # Both views are in one hash, so they are read at one moment.
            user=user[: len(state)],
            merchant=others[0] if others else (),
            batch=StoredBatch(user[len(state) :], complete) if with_batch else None,
        )

    async def read_decision(self, transaction_id: str) -> bytes | None:
        """Read the first decision by one GET; see the port for the contract."""
        reply: Awaitable[Any] = self._client.get(decision_key(transaction_id))
        value: bytes | None = await self._bounded(reply, f"decision of {transaction_id!r:.80}")
        return value

    async def ping(self) -> None:
        """Send PING and await its answer; see the port for the contract."""
        await self._bounded(self._client.ping(), "PING")

    async def close(self) -> None:
        """Close the connections of the pool."""
        await self._client.aclose()

    def _ask(self, pipeline: Redis, entity: Entity, value: str, fields: Sequence[bytes]) -> None:
        key = online_store.entity_key(entity, value, self._project)
        pipeline.hmget(key, list(fields))

    async def _bounded(self, reply: Awaitable[_T], what: str) -> _T:
        # One limit around everything: waiting for a free connection, connecting and reading.
        # A cut read closes its connection, so its late answer cannot reach another caller.
        limit = asyncio.timeout(None)
        try:
            async with limit:
                timer = self._start_timer(limit)
                try:
                    return await reply
                finally:
                    timer.cancel()
        except (RedisError, OSError, TimeoutError) as error:
            cause = str(error) or type(error).__name__
            raise OnlineStoreUnavailableError(
                f"reading {what} from Redis failed within redis_timeout_ms={self._timeout_ms}: "
                f"{cause:.200}"
            ) from error

    def _start_timer(self, limit: asyncio.Timeout) -> asyncio.TimerHandle:
        # In two steps. When this process has not run for a while, its timers are over before it
        # has looked at its sockets, and an answer that has long been there would be an outage.
        loop = asyncio.get_running_loop()
        last_s = self._timeout_ms / 1000 * LAST_STEP
        first_s = self._timeout_ms / 1000 - last_s
        return loop.call_later(first_s, lambda: limit.reschedule(loop.time() + last_s))


def connect_reader(*, redis_url: str, project: str, timeout_ms: int) -> RedisFeatureReader:
    """Make a reader with its own pool. Connects at the first read, so it never fails here.

    Args:
        redis_url: ``redis://host:port/db``.
        project: the Feast project whose keys are read.
        timeout_ms: limit of every read in ms.
    """
    pool = BlockingConnectionPool.from_url(
        redis_url,
        max_connections=CONNECTIONS_MAX,
        # The reader has its own limit around all of these, which would add up.
        timeout=None,
        socket_timeout=None,
        socket_connect_timeout=None,
        # The client's default is three retries with seconds of backoff. One, at once, is for
        # a pooled connection that died with a restarted Redis.
        retry=Retry(NoBackoff(), 1),
        # Without these a new connection asks for two or three things before the first read.
        protocol=2,
        driver_info=None,
    )
    client = Redis.from_pool(pool)
    return RedisFeatureReader(client, project=project, timeout_ms=timeout_ms)
