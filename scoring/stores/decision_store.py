"""The store of first decisions: Redis, and the memory of this process while Redis is down.

Called by the worker before a decision is emitted. Knows decisions as bytes only;
`scoring.stores.kept_decisions` knows where they are in Redis. `clients.redis_guard` limits the
waiting.

The steps of a batch, and what a failure leaves::

    1. a decision that this process remembers stands     no call at all
    2. one script call for 500 transactions              what a day's hash holds stands, the rest
                                                         is added to the hash of today
    3. no complete answer within redis_timeout_ms        the circuit opens for 1 s: step 2 is
                                                         skipped, decisions go on unstored
    4. unstored decisions are remembered here            they are written by the first calls
                                                         that work again
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from redis.asyncio import Redis

from clients.errors import RedisUnavailableError
from clients.redis_guard import RedisGuard, connect_for_one_caller
from scoring.core.ports import Kept
from scoring.metrics import Metrics
from scoring.stores.kept_decisions import (
    CONTEXTS_KEY,
    KEEP_FIRST_SCRIPT,
    id_digest,
    keep_arguments,
)
from scoring.stores.recent_decisions import RecentDecisions

REMEMBERED_MAX = 100_000
"""Decisions this process remembers: some 50 s at 2,000/s, more than Flink repeats after a
restart (8,166 measured), and 21 MB."""
CALL_KEYS_MAX = 500
"""Transactions of one call: a larger batch is several calls, each with the whole time limit."""
CONTEXT_CALLS_MAX = 3
"""Calls for one chunk: a context that Redis lacks is stored first, then the chunk is sent again."""
SAVED_BATCH_MAX = 1_000
"""How many unstored decisions are written together with one batch when Redis works again."""

Proposals = Sequence[tuple[bytes, bytes]]


class RedisDecisionStore:
    """`scoring.core.ports.DecisionStore` on Redis; one caller at a time."""

    def __init__(
        self,
        client: Redis,
        *,
        guard: RedisGuard,
        ttl_s: int,
        now_s: Callable[[], int],
        metrics: Metrics,
        remembered_max: int = REMEMBERED_MAX,
    ) -> None:
        """Use an existing client; `connect_decision_store` makes one with the right limits.

        Args:
            client: answers bytes; closed by `close`.
            guard: limits its calls.
            ttl_s: how long a first decision is kept at least, s.
            now_s: the clock, s since 1970 UTC.
            metrics: where unstored decisions are counted.
            remembered_max: how many decisions this process remembers.
        """
        self._client = client
        self._script: Any = client.register_script(KEEP_FIRST_SCRIPT)
        self._guard = guard
        self._ttl_s = ttl_s
        self._now_s = now_s
        self._metrics = metrics
        self._recent = RecentDecisions(limit=remembered_max)
        self._unsaved = RecentDecisions(limit=remembered_max)
        self._unsaved_contexts: dict[bytes, bytes] = {}
        self._has_lost = False

    def note_loss(self, has_lost: bool) -> None:
        """Note whether Redis has lost first decisions that are not written again yet.

        Meanwhile a decision that Redis does not know is kept and marked like an unstored one,
        because it may be a repeat. May be called from another thread.
        """
        self._has_lost = has_lost

    async def keep_first(
        self,
        proposals: Proposals,
        *,
        contexts: Mapping[bytes, bytes],
        when_unstored: Callable[[int], bytes],
    ) -> Kept:
        """Keep and give first decisions; see the port for the contract."""
        # By transaction, not by place: one that is twice in a batch has one decision.
        digests = [id_digest(transaction_id) for transaction_id, _ in proposals]
        standing: dict[bytes, bytes] = {}
        new: dict[bytes, int] = {}
        for at, digest in enumerate(digests):
            value = self._recent.recall(digest)
            if value is not None:
                standing[digest] = value
            else:
                new.setdefault(digest, at)
        has_lost = self._has_lost
        proposed = [
            (digest, when_unstored(at) if has_lost else proposals[at][1])
            for digest, at in new.items()
        ]
        stored = await self._try_store(proposed, contexts, standing)
        if not stored:
            self._decide_unstored(new, standing, contexts, when_unstored)
        for digest in new:
            self._recent.remember(digest, standing[digest])
        return Kept([standing[digest] for digest in digests], stored)

    async def context(self, digest: bytes) -> bytes | None:
        """Read a context; see the port for the contract."""
        if digest in self._unsaved_contexts:
            return self._unsaved_contexts[digest]
        try:
            return await self._guard.call(
                lambda: cast(
                    Awaitable[bytes | None],
                    self._client.hget(CONTEXTS_KEY, digest),
                ),
                to="give a context of decisions",
            )
        except RedisUnavailableError:
            return None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _try_store(
        self, proposals: Proposals, contexts: Mapping[bytes, bytes], standing: dict[bytes, bytes]
    ) -> bool:
        if self._guard.is_open:
            return not proposals
        try:
            await self._save_unsaved()
            for chunk in _chunks(proposals):
                for (digest, proposed), old in zip(
                    chunk, await self._call(chunk, contexts), strict=True
                ):
                    standing[digest] = proposed if old is None else old
        except RedisUnavailableError:
            return False
        return True

    async def _save_unsaved(self) -> None:
        for chunk in _chunks(self._unsaved.oldest(SAVED_BATCH_MAX)):
            await self._call(chunk, self._unsaved_contexts)
            for digest, _ in chunk:
                self._unsaved.forget(digest)
        self._metrics.store_unsaved.set(len(self._unsaved))

    async def _call(self, chunk: Proposals, contexts: Mapping[bytes, bytes]) -> list[bytes | None]:
        keys, arguments = keep_arguments(chunk, contexts, now_s=self._now_s(), ttl_s=self._ttl_s)
        to = f"keep {len(chunk)} decisions"
        for _ in range(CONTEXT_CALLS_MAX):
            missing, stand = await self._guard.call(
                lambda: self._script(keys=keys, args=arguments), to=to
            )
            if not missing:
                return cast(list[bytes | None], stand)
            await self._store_contexts({digest: contexts[digest] for digest in missing}, to=to)
        raise RedisUnavailableError(f"Redis did not {to}: it loses their contexts at once")

    async def _store_contexts(self, contexts: Mapping[bytes, bytes], *, to: str) -> None:
        fields = [part for context in contexts.items() for part in context]
        await self._guard.call(lambda: self._client.hset(CONTEXTS_KEY, items=fields), to=to)

    def _decide_unstored(
        self,
        new: dict[bytes, int],
        standing: dict[bytes, bytes],
        contexts: Mapping[bytes, bytes],
        when_unstored: Callable[[int], bytes],
    ) -> None:
        for digest, at in new.items():
            # The answers of the calls before the failed one stand.
            if digest not in standing:
                standing[digest] = value = when_unstored(at)
                self._unsaved.remember(digest, value)
        self._unsaved_contexts.update(contexts)
        self._metrics.store_unsaved.set(len(self._unsaved))


def connect_decision_store(
    *,
    redis_url: str,
    ttl_s: int,
    timeout_ms: int,
    clock_ms: Callable[[], float],
    now_s: Callable[[], int],
    metrics: Metrics,
) -> RedisDecisionStore:
    """Make a store with its own connection. Connects at the first call, so it never fails here.

    Args:
        redis_url: ``redis://host:port/db``.
        ttl_s: how long a first decision is kept at least, s.
        timeout_ms: limit of each call, ms.
        clock_ms: a clock that never goes back, ms.
        now_s: the time, s since 1970 UTC.
        metrics: where failures are counted.
    """
    client = connect_for_one_caller(redis_url, timeout_ms=timeout_ms)
    guard = RedisGuard(
        timeout_ms=timeout_ms, clock_ms=clock_ms, on_failure=metrics.store_failures.inc
    )
    return RedisDecisionStore(client, guard=guard, ttl_s=ttl_s, now_s=now_s, metrics=metrics)


def _chunks(items: Proposals) -> Iterator[Proposals]:
    for start in range(0, len(items), CALL_KEYS_MAX):
        yield items[start : start + CALL_KEYS_MAX]
