"""Guards calls to Redis with a time limit, one kind of error, and a circuit breaker.

After some failed calls in a row the circuit is open for `CIRCUIT_OPEN_MS`: calls then fail at once,
so that a slow Redis delays at most one batch or request a second. Used by the stores of scorer and
API. The breaker itself is `clients.circuit`.
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

from clients.circuit import CircuitBreaker
from clients.errors import RedisUnavailableError

logger = logging.getLogger(__name__)

CIRCUIT_OPEN_MS: Final = 1_000
"""How long Redis is not called after failed calls, ms."""
TELLING_SHARE: Final = 0.5
"""A call that gets less than this share of the time limit tells nothing of Redis when it fails."""
LAST_STEP: Final = 0.2
"""The share of a time limit that starts when this process gets to run again."""

T = TypeVar("T")


class RedisGuard:
    """Time limit and circuit breaker of the calls of one store."""

    def __init__(
        self,
        *,
        timeout_ms: int,
        clock_ms: Callable[[], float],
        on_failure: Callable[[], None],
        failures_max: int = 1,
    ) -> None:
        """Start with a closed circuit.

        Args:
            timeout_ms: limit of each call, ms; ``redis_timeout_ms`` of the settings.
            clock_ms: a clock that never goes back, ms; only differences are used.
            on_failure: called once for each failed call, not for calls of an open circuit.
            failures_max: how many calls must fail in a row until the circuit opens.
        """
        self._timeout_ms = timeout_ms
        self._on_failure = on_failure
        self._circuit = CircuitBreaker(
            open_ms=CIRCUIT_OPEN_MS, clock_ms=clock_ms, failures_max=failures_max
        )

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once, because calls failed less than a second ago."""
        return self._circuit.is_open

    async def call(
        self, command: Callable[[], Awaitable[T]], *, to: str, timeout_ms: float | None = None
    ) -> T:
        """Run a command within the time limit.

        A failure is counted, and is logged once as a warning if it opens the circuit.

        Args:
            command: sends the command and awaits its reply.
            to: what it does, for the error message: "Redis did not {to}".
            timeout_ms: a limit for this call, ms, instead of the guard's. If it is less than half
                of that, exceeding it says nothing about Redis and does not count as a failure.

        Raises:
            RedisUnavailableError: no complete answer in time, or the circuit is open. Redis may
                or may not have executed the command.
        """
        if not self._circuit.may_call():
            raise RedisUnavailableError(
                f"Redis did not {to}: it is not called for {CIRCUIT_OPEN_MS} ms after a failure"
            )
        limit_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        try:
            async with time_limit(limit_ms):
                found = await command()
        except Exception as error:
            if not is_outage(error):
                raise
            # Not its repr: the client's errors leave their text out of it.
            cause = f"{type(error).__name__} {error}".rstrip()
            failure = RedisUnavailableError(
                f"Redis did not {to} within {self._limit(limit_ms)}: {cause:.200}"
            )
            is_short = limit_ms < TELLING_SHARE * self._timeout_ms
            if not (is_short and isinstance(error, TimeoutError)):
                self._count(failure)
            raise failure from error
        self._circuit.succeeded()
        return found

    def _limit(self, limit_ms: float) -> str:
        if limit_ms == self._timeout_ms:
            return f"redis_timeout_ms={self._timeout_ms}"
        return f"{limit_ms:.0f} ms"

    def _count(self, failure: RedisUnavailableError) -> None:
        self._on_failure()
        if self._circuit.failed():
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
async def time_limit(timeout_ms: float) -> AsyncIterator[None]:
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
        timeout_ms: limit of connecting, ms. An answer has no limit of its own: `RedisGuard` limits
            the call, and the client's limit would start a task for each command.
    """
    return Redis.from_url(
        redis_url,
        # One caller at a time needs no pool; the pool's bookkeeping costs a tenth of the worker.
        single_connection_client=True,
        socket_timeout=None,
        socket_connect_timeout=timeout_ms / 1000,
        # The client's default is three retries with seconds of backoff. One, without delay, is
        # for a connection that died with a restarted Redis.
        retry=Retry(NoBackoff(), 1),
    )
