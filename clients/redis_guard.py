"""Guards calls to Redis with a time limit, one kind of error, and a circuit breaker.

After a failed call the circuit is open for `CIRCUIT_OPEN_MS`: calls then fail at once, so that a
slow Redis delays at most one batch a second. Used by the stores of the scorer. The breaker itself
is three lines. The libraries circuitbreaker 2.1 and purgatory 3.0 would replace only these, cannot
be given a clock, and map no errors.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import DataError, RedisError

from clients.errors import RedisUnavailableError

logger = logging.getLogger(__name__)

CIRCUIT_OPEN_MS: Final = 1_000
"""How long Redis is not called after a failed call, ms."""
LAST_STEP: Final = 0.2
"""The share of a time limit that starts when this process gets to run again."""

T = TypeVar("T")


class RedisGuard:
    """Time limit and circuit breaker of one connection; for one caller at a time."""

    def __init__(
        self,
        *,
        timeout_ms: int,
        clock_ms: Callable[[], float],
        on_failure: Callable[[], None],
    ) -> None:
        """Start with a closed circuit.

        Args:
            timeout_ms: limit of each call, ms; ``redis_timeout_ms`` of the settings.
            clock_ms: a clock that never goes back, ms; only differences are used.
            on_failure: called once for each failed call, not for calls of an open circuit.
        """
        self._timeout_ms = timeout_ms
        self._clock_ms = clock_ms
        self._on_failure = on_failure
        self._circuit_open_until_ms = -1.0

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once, because the last one failed less than a second ago."""
        return self._clock_ms() < self._circuit_open_until_ms

    async def call(self, command: Callable[[], Awaitable[T]], *, to: str) -> T:
        """Run a command within the time limit.

        A failure opens the circuit, is counted, and is logged once as a warning.

        Args:
            command: sends the command and awaits its reply.
            to: what it does, for the error message: "Redis did not {to}".

        Raises:
            RedisUnavailableError: no complete answer in time, or the circuit is open. Redis may
                or may not have executed the command.
        """
        if self.is_open:
            raise RedisUnavailableError(
                f"Redis did not {to}: it is not called for {CIRCUIT_OPEN_MS} ms after a failure"
            )
        try:
            async with time_limit(self._timeout_ms):
                return await command()
        except Exception as error:
            if not is_outage(error):
                raise
            # Not its repr: the client's errors leave their text out of it.
            cause = f"{type(error).__name__} {error}"
            failure = RedisUnavailableError(
                f"Redis did not {to} within redis_timeout_ms={self._timeout_ms}: {cause:.200}"
            )
            self._open_circuit(failure)
            raise failure from error

    def _open_circuit(self, failure: RedisUnavailableError) -> None:
        self._circuit_open_until_ms = self._clock_ms() + CIRCUIT_OPEN_MS
        self._on_failure()
        logger.warning("%s; going on without Redis for %d ms", failure, CIRCUIT_OPEN_MS)


def is_outage(error: Exception) -> bool:
    """Say whether an error of the client means that Redis is unavailable, not that we have a bug.

    Everything Redis or the network can report is an outage, because no answer of a store may stop
    the decisions: down, slow, loading, read-only after a fail-over, full, wrong password. Only
    arguments that the client itself refuses are a bug, and a bug crashes.
    """
    return isinstance(error, RedisError | OSError | TimeoutError) and not isinstance(
        error, DataError
    )


@asynccontextmanager
async def time_limit(timeout_ms: int) -> AsyncIterator[None]:
    """Limit a block to ``timeout_ms``, in two steps.

    When this process has not run for a while, its timers expire before it has looked at its
    sockets, and an answer that arrived long ago would count as an outage. So the last step starts
    only when the process runs again.

    Raises:
        TimeoutError: the time is over; what the block awaited is cancelled.
    """
    loop = asyncio.get_running_loop()
    last_s = timeout_ms / 1000 * LAST_STEP
    first_s = timeout_ms / 1000 - last_s
    async with asyncio.timeout(None) as limit:
        timer = loop.call_later(first_s, lambda: limit.reschedule(loop.time() + last_s))
        try:
            yield
        finally:
            timer.cancel()


def connect_for_one_caller(redis_url: str, *, timeout_ms: int) -> Redis:
    """Make a client with one connection, for one caller at a time. Connects at the first call.

    Args:
        redis_url: ``redis://host:port/db``.
        timeout_ms: limit of connecting and of each answer, ms.
    """
    timeout_s = timeout_ms / 1000
    return Redis.from_url(
        redis_url,
        # One caller at a time needs no pool; the pool's bookkeeping costs a tenth of the worker.
        single_connection_client=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        # The client's default is three retries with seconds of backoff. One, without delay, is
        # for a connection that died with a restarted Redis.
        retry=Retry(NoBackoff(), 1),
    )
