"""The store of first decisions: Redis, and a memory of this process for when Redis is away.

Owns the keys ``weir:decision:{transaction_id}``, their time to live, and every limit on waiting
for them. Called by the worker before a decision is emitted; the API reads the same keys. Knows
decisions as bytes only.

How a batch goes, and what a failure leaves::

    1. a decision this process remembers stands          no call at all
    2. SET key value NX GET EX ttl, 100 keys a call      the old value, if any, stands
    3. no complete answer within redis_timeout_ms        the circuit opens for 1 s: step 2 is
                                                         left out, decisions go on unstored
    4. decisions made unstored are remembered here       they are written by the first calls
                                                         that work again
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import DataError, RedisError

from scoring.core.errors import DecisionStoreUnavailableError
from scoring.core.ports import Kept
from scoring.metrics import Metrics

logger = logging.getLogger(__name__)

CIRCUIT_OPEN_MS = 1_000
"""How long Redis is left alone after a call that failed, ms."""
REMEMBERED_MAX = 50_000
"""Decisions this process remembers: some 25 s at 2,000/s, more than Flink repeats after a
restart (8,166 measured), and some 100 MB."""
CALL_KEYS_MAX = 100
"""Keys of one call: a larger batch is several calls, each with the whole time limit."""
SAVED_BATCH_MAX = 1_000
"""How many decisions made unstored are written along with one batch when Redis is back."""

# One script call instead of a pipeline of SETs: 5 us of client time a row instead of 33, and
# the same commands. Declared keys, one slot only: a Redis cluster would need the pipeline.
KEEP_FIRST_SCRIPT = """
local stand = {}
for i = 1, #KEYS do
  stand[i] = redis.call('SET', KEYS[i], ARGV[i + 1], 'NX', 'GET', 'EX', ARGV[1])
end
return stand
"""


def decision_key(transaction_id: str) -> bytes:
    """Give the Redis key of a transaction's first decision.

    Examples:
        >>> decision_key("t-1")
        b'weir:decision:t-1'
    """
    return b"weir:decision:" + transaction_id.encode()


def is_outage(error: Exception) -> bool:
    """Say whether an error of the client means "the store is away" rather than a bug of ours.

    Everything Redis or the network can say is an outage, since no answer of a store may hold
    up a decision: down, slow, loading, read-only after a fail-over, full, wrong password. Only
    arguments that the client itself refuses are a bug, and a bug crashes.
    """
    return isinstance(error, RedisError | OSError | TimeoutError) and not isinstance(
        error, DataError
    )


class RecentDecisions:
    """The latest decisions of this process, at most ``limit``; the least recent one leaves.

    Examples:
        >>> recent = RecentDecisions(limit=1)
        >>> recent.remember("t-1", b"1")
        >>> recent.remember("t-2", b"2")
        >>> recent.recall("t-1"), recent.recall("t-2")
        (None, b'2')
    """

    def __init__(self, *, limit: int) -> None:
        """Start empty."""
        self._limit = limit
        self._decisions: OrderedDict[str, bytes] = OrderedDict()

    def __len__(self) -> int:
        """Count what is remembered."""
        return len(self._decisions)

    def recall(self, transaction_id: str) -> bytes | None:
        """Give the decision of a transaction, None when it is not remembered."""
        return self._decisions.get(transaction_id)

    def remember(self, transaction_id: str, value: bytes) -> None:
        """Remember a decision, as the most recent one."""
        self._decisions[transaction_id] = value
        self._decisions.move_to_end(transaction_id)
        if len(self._decisions) > self._limit:
            self._decisions.popitem(last=False)

    def forget(self, transaction_id: str) -> None:
        """Forget a decision, remembered or not."""
        self._decisions.pop(transaction_id, None)

    def oldest(self, count_max: int) -> list[tuple[str, bytes]]:
        """Give the least recent ones, oldest first."""
        return [item for item, _ in zip(self._decisions.items(), range(count_max), strict=False)]


class RedisDecisionStore:
    """`scoring.core.ports.DecisionStore` on Redis; one caller at a time."""

    def __init__(
        self,
        client: Redis,
        *,
        ttl_s: int,
        timeout_ms: int,
        clock_ms: Callable[[], float],
        metrics: Metrics,
        remembered_max: int = REMEMBERED_MAX,
    ) -> None:
        """Use an existing client; `connect_decision_store` makes one with the right limits.

        Args:
            client: answers bytes; closed by `close`.
            ttl_s: how long a first decision is remembered, s.
            timeout_ms: limit of each call, ms.
            clock_ms: a clock that never goes back, ms; only differences are used.
            metrics: where failures are counted.
            remembered_max: how many decisions this process remembers.
        """
        self._client = client
        self._script: Any = client.register_script(KEEP_FIRST_SCRIPT)
        self._ttl_s = ttl_s
        self._timeout_ms = timeout_ms
        self._clock_ms = clock_ms
        self._metrics = metrics
        self._recent = RecentDecisions(limit=remembered_max)
        self._unsaved = RecentDecisions(limit=remembered_max)
        self._closed_again_ms = -1.0

    async def keep_first(
        self, proposals: Sequence[tuple[str, bytes]], *, when_unstored: Callable[[int], bytes]
    ) -> Kept:
        """Keep and give first decisions; see the port for the contract."""
        # By transaction, not by place: one that is twice in a batch has one decision.
        standing = {
            transaction_id: value
            for transaction_id, _ in proposals
            if (value := self._recent.recall(transaction_id)) is not None
        }
        new: dict[str, int] = {}
        for at, (transaction_id, _) in enumerate(proposals):
            if transaction_id not in standing:
                new.setdefault(transaction_id, at)
        stored = await self._try_store([proposals[at] for at in new.values()], standing)
        if not stored:
            self._decide_unstored(new, standing, when_unstored)
        for transaction_id in new:
            self._recent.remember(transaction_id, standing[transaction_id])
        return Kept([standing[transaction_id] for transaction_id, _ in proposals], stored)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _try_store(
        self, proposals: Sequence[tuple[str, bytes]], standing: dict[str, bytes]
    ) -> bool:
        if self._clock_ms() < self._closed_again_ms:
            return not proposals
        try:
            await self._save_unsaved()
            for chunk in _chunks(proposals):
                for (transaction_id, proposed), old in zip(
                    chunk, await self._call(chunk), strict=True
                ):
                    standing[transaction_id] = proposed if old is None else old
        except DecisionStoreUnavailableError as error:
            self._open_circuit(error)
            return False
        return True

    async def _save_unsaved(self) -> None:
        for chunk in _chunks(self._unsaved.oldest(SAVED_BATCH_MAX)):
            await self._call(chunk)
            for transaction_id, _ in chunk:
                self._unsaved.forget(transaction_id)
        self._metrics.store_unsaved.set(len(self._unsaved))

    async def _call(self, chunk: Sequence[tuple[str, bytes]]) -> list[bytes | None]:
        keys = [decision_key(transaction_id) for transaction_id, _ in chunk]
        values = [value for _, value in chunk]
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                answer: list[bytes | None] = await self._script(
                    keys=keys, args=[self._ttl_s, *values]
                )
                return answer
        except Exception as error:
            if not is_outage(error):
                raise
            raise DecisionStoreUnavailableError(
                f"Redis did not keep {len(chunk)} decisions within "
                f"redis_timeout_ms={self._timeout_ms}: {error!r:.200}"
            ) from error

    def _open_circuit(self, error: DecisionStoreUnavailableError) -> None:
        self._closed_again_ms = self._clock_ms() + CIRCUIT_OPEN_MS
        self._metrics.store_failures.inc()
        logger.warning("%s; going on without it for %d ms", error, CIRCUIT_OPEN_MS)

    def _decide_unstored(
        self,
        new: dict[str, int],
        standing: dict[str, bytes],
        when_unstored: Callable[[int], bytes],
    ) -> None:
        for transaction_id, at in new.items():
            # The calls before the one that failed have their answers: those stand.
            if transaction_id not in standing:
                standing[transaction_id] = value = when_unstored(at)
                self._unsaved.remember(transaction_id, value)
        self._metrics.store_unsaved.set(len(self._unsaved))


def connect_decision_store(
    *,
    redis_url: str,
    ttl_s: int,
    timeout_ms: int,
    clock_ms: Callable[[], float],
    metrics: Metrics,
) -> RedisDecisionStore:
    """Make a store with its own connection. Connects at the first call, so it never fails here.

    Args:
        redis_url: ``redis://host:port/db``.
        ttl_s: how long a first decision is remembered, s.
        timeout_ms: limit of each call, ms.
        clock_ms: a clock that never goes back, ms.
        metrics: where failures are counted.
    """
    client = connect_for_one_caller(redis_url, timeout_ms=timeout_ms)
    return RedisDecisionStore(
        client, ttl_s=ttl_s, timeout_ms=timeout_ms, clock_ms=clock_ms, metrics=metrics
    )


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
        # The client's default is three retries with seconds of backoff. One, at once, is for
        # a connection that died with a restarted Redis.
        retry=Retry(NoBackoff(), 1),
    )


def _chunks(items: Sequence[tuple[str, bytes]]) -> Iterator[Sequence[tuple[str, bytes]]]:
    for start in range(0, len(items), CALL_KEYS_MAX):
        yield items[start : start + CALL_KEYS_MAX]
