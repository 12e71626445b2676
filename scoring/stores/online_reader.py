"""The Redis adapter of `scoring.core.ports.FeatureReader`: one pipelined round trip a read.

Owns the connection pool. There is no circuit breaker: a request of the API waits for its own read
only, within the time limit. `features.online.layout` knows keys, fields and decoding. Called by
the API; the worker reads batch features with `scoring.stores.batch_reader`, and no state.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from clients.redis_guard import time_limit
from features.definitions import Entity
from features.online import layout as online_store
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.ports import EntityPair, StoredBatch
from scoring.stores.decision_store import decision_key

_T = TypeVar("_T")

# At 300 requests/s and the default limit of 50 ms, a Redis that hangs holds 15 connections.
CONNECTIONS_MAX = 32


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
            # Read first, because it is written last: a user without values now had none before.
            pipeline.get(online_store.complete_key(self._project))
        self._ask(pipeline, "user", user_id, (*state, *batch))
        if merchant_id is not None:
            self._ask(pipeline, "merchant", merchant_id, online_store.state_fields("merchant"))
        replies = await self._within_limit(pipeline.execute(), f"entities of user {user_id!r:.80}")
        complete = replies.pop(0) if with_batch else None
        user, *others = replies
        return EntityPair(
            # Both views are in one hash, so one command reads them at the same moment.
            user=user[: len(state)],
            merchant=others[0] if others else (),
            batch=StoredBatch(user[len(state) :], complete) if with_batch else None,
        )

    async def read_decision(self, transaction_id: str) -> bytes | None:
        """Read the first decision by one GET; see the port for the contract."""
        reply: Awaitable[Any] = self._client.get(decision_key(transaction_id))
        value: bytes | None = await self._within_limit(reply, f"decision of {transaction_id!r:.80}")
        return value

    async def ping(self) -> None:
        """Send PING and await its answer; see the port for the contract."""
        await self._within_limit(self._client.ping(), "PING")

    async def close(self) -> None:
        """Close the connections of the pool."""
        await self._client.aclose()

    def _ask(self, pipeline: Redis, entity: Entity, value: str, fields: Sequence[bytes]) -> None:
        key = online_store.entity_key(entity, value, self._project)
        pipeline.hmget(key, list(fields))

    async def _within_limit(self, reply: Awaitable[_T], what: str) -> _T:
        # One limit for everything: waiting for a free connection, connecting and reading. A read
        # that is cut off closes its connection, so its late answer cannot reach another caller.
        try:
            async with time_limit(self._timeout_ms):
                return await reply
        except (RedisError, OSError, TimeoutError) as error:
            cause = str(error) or type(error).__name__
            raise OnlineStoreUnavailableError(
                f"reading {what} from Redis failed within redis_timeout_ms={self._timeout_ms}: "
                f"{cause:.200}"
            ) from error


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
        # The reader has one limit around all of these; their limits would add up.
        timeout=None,
        socket_timeout=None,
        socket_connect_timeout=None,
        # The client's default is three retries with seconds of backoff. One, without delay, is
        # for a pooled connection that died with a restarted Redis.
        retry=Retry(NoBackoff(), 1),
        # Without these a new connection asks for two or three things before the first read.
        protocol=2,
        driver_info=None,
    )
    client = Redis.from_pool(pool)
    return RedisFeatureReader(client, project=project, timeout_ms=timeout_ms)
