"""Reads anything from Redis for the API by one pipeline, within a time limit.

`clients.redis_guard` limits the waiting: after some failed reads in a row, Redis is not asked for a
second. Built by `scoring.wiring`; called by what reads the inputs of models of users, and by routes
of models of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from clients.errors import RedisUnavailableError
from clients.redis_guard import RedisGuard
from scoring.core.errors import OnlineStoreUnavailableError

# At 300 requests/s and the default limit of 50 ms, a Redis that hangs holds 15 connections.
CONNECTIONS_MAX: Final = 32
FAILURES_MAX: Final = 5
"""How many reads must fail in a row until Redis is not asked for a second."""


def pooled_client(redis_url: str) -> Redis:
    """Make a client with a pool for many callers. Connects at the first call.

    Args:
        redis_url: ``redis://host:port/db``.
    """
    pool = BlockingConnectionPool.from_url(
        redis_url,
        max_connections=CONNECTIONS_MAX,
        # The guard has one limit around all of these; their limits would add up.
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
    return Redis.from_pool(pool)


class GuardedReads:
    """Pipelines of reads on one pool of connections; for any number of callers at a time."""

    def __init__(self, client: Redis, *, guard: RedisGuard) -> None:
        """Use an existing client.

        Args:
            client: answers bytes (``decode_responses`` off); closed by `close`.
            guard: limits every read, waiting for a connection included.
        """
        self._client = client
        self._guard = guard

    async def read(
        self,
        ask: Callable[[Pipeline], object],
        *,
        what: str,
        timeout_ms: float | None = None,
    ) -> list[Any]:
        """Read in one round trip.

        Args:
            ask: puts commands into the pipeline; its result is ignored.
            what: is read, for the error message: "Redis did not give {what}".
            timeout_ms: a limit for this read, ms, instead of ``redis_timeout_ms``.

        Returns:
            The reply to each command, in their order, as bytes.

        Raises:
            OnlineStoreUnavailableError: no complete answer in time.
        """
        pipeline = self._client.pipeline(transaction=False)
        ask(pipeline)
        try:
            replies: list[Any] = await self._guard.call(
                pipeline.execute, to=f"give {what}", timeout_ms=timeout_ms
            )
        except RedisUnavailableError as error:
            raise OnlineStoreUnavailableError(str(error)) from error
        return replies

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def connect_reads(
    *,
    redis_url: str,
    timeout_ms: int,
    clock_ms: Callable[[], float],
    on_failure: Callable[[], None],
) -> GuardedReads:
    """Make reads with a pool of their own. Connects at the first read, so it never fails here.

    Args:
        redis_url: ``redis://host:port/db``.
        timeout_ms: limit of every read, ms.
        clock_ms: a clock that never goes back, ms.
        on_failure: called once for each read that failed.
    """
    guard = RedisGuard(
        timeout_ms=timeout_ms, clock_ms=clock_ms, on_failure=on_failure, failures_max=FAILURES_MAX
    )
    return GuardedReads(pooled_client(redis_url), guard=guard)
