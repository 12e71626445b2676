"""The store of first decisions: Redis, and the memory of this process while Redis is down.

Owns the keys ``weir:decision:{transaction_id}`` and their time to live. Called by the worker
before a decision is emitted; the API reads the same keys. Knows decisions as bytes only.
`clients.redis_guard` limits the waiting.

The steps of a batch, and what a failure leaves::

    1. a decision that this process remembers stands     no call at all
    2. SET key value NX GET EX ttl, 100 keys a call      the old value, if any, stands
    3. no complete answer within redis_timeout_ms        the circuit opens for 1 s: step 2 is
                                                         skipped, decisions go on unstored
    4. unstored decisions are remembered here            they are written by the first calls
                                                         that work again
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from redis.asyncio import Redis

from clients.errors import RedisUnavailableError
from clients.redis_guard import RedisGuard, connect_for_one_caller
from scoring.core.ports import Kept
from scoring.metrics import Metrics
from scoring.stores.recent_decisions import RecentDecisions

REMEMBERED_MAX = 50_000
"""Decisions this process remembers: some 25 s at 2,000/s, more than Flink repeats after a
restart (8,166 measured), and some 100 MB."""
CALL_KEYS_MAX = 100
"""Keys of one call: a larger batch is several calls, each with the whole time limit."""
SAVED_BATCH_MAX = 1_000
"""How many unstored decisions are written together with one batch when Redis works again."""

# One script call instead of a pipeline of SETs: 5 us of client time a row instead of 33, for the
# same commands. All keys in one slot: a Redis cluster would need the pipeline.
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


class RedisDecisionStore:
    """`scoring.core.ports.DecisionStore` on Redis; one caller at a time."""

    def __init__(
        self,
        client: Redis,
        *,
        guard: RedisGuard,
        ttl_s: int,
        metrics: Metrics,
        remembered_max: int = REMEMBERED_MAX,
    ) -> None:
        """Use an existing client; `connect_decision_store` makes one with the right limits.

        Args:
            client: answers bytes; closed by `close`.
            guard: limits its calls.
            ttl_s: how long a first decision is kept, s.
            metrics: where unstored decisions are counted.
            remembered_max: how many decisions this process remembers.
        """
        self._client = client
        self._script: Any = client.register_script(KEEP_FIRST_SCRIPT)
        self._guard = guard
        self._ttl_s = ttl_s
        self._metrics = metrics
        self._recent = RecentDecisions(limit=remembered_max)
        self._unsaved = RecentDecisions(limit=remembered_max)

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
        if self._guard.is_open:
            return not proposals
        try:
            await self._save_unsaved()
            for chunk in _chunks(proposals):
                for (transaction_id, proposed), old in zip(
                    chunk, await self._call(chunk), strict=True
                ):
                    standing[transaction_id] = proposed if old is None else old
        except RedisUnavailableError:
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
        arguments = [self._ttl_s, *(value for _, value in chunk)]
        return await self._guard.call(
            lambda: self._script(keys=keys, args=arguments), to=f"keep {len(chunk)} decisions"
        )

    def _decide_unstored(
        self,
        new: dict[str, int],
        standing: dict[str, bytes],
        when_unstored: Callable[[int], bytes],
    ) -> None:
        for transaction_id, at in new.items():
            # The answers of the calls before the failed one stand.
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
        ttl_s: how long a first decision is kept, s.
        timeout_ms: limit of each call, ms.
        clock_ms: a clock that never goes back, ms.
        metrics: where failures are counted.
    """
    client = connect_for_one_caller(redis_url, timeout_ms=timeout_ms)
    guard = RedisGuard(
        timeout_ms=timeout_ms, clock_ms=clock_ms, on_failure=metrics.store_failures.inc
    )
    return RedisDecisionStore(client, guard=guard, ttl_s=ttl_s, metrics=metrics)


def _chunks(items: Sequence[tuple[str, bytes]]) -> Iterator[Sequence[tuple[str, bytes]]]:
    for start in range(0, len(items), CALL_KEYS_MAX):
        yield items[start : start + CALL_KEYS_MAX]
