"""The Redis adapter of `scoring.core.ports.FeatureReader`: one pipelined round trip a read.

`clients.redis_guard` limits the waiting: after some failed reads in a
row, Redis is not asked for a second. `features.online.layout` knows keys, fields and decoding.
Called by the API; the worker reads batch features with `scoring.stores.batch_reader`, and no state.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.asyncio import Redis

from clients.errors import RedisUnavailableError
from clients.redis_guard import RedisGuard
from features.definitions import Entity
from features.online import layout as online_store
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.ports import EntityPair, EntityPairIds, StoredBatch, StoredFields
from scoring.stores.first_decisions import FirstDecisions
from scoring.stores.guarded_reads import FAILURES_MAX, pooled_client

_T = TypeVar("_T")


class RedisFeatureReader:
    """Reads entities and first decisions from Redis, each within the guard's time limit."""

    def __init__(
        self, client: Redis, *, guard: RedisGuard, project: str, decisions: FirstDecisions
    ) -> None:
        """Use an existing client; `connect_reader` makes one with the right limits.

        Args:
            client: answers bytes (``decode_responses`` off); closed by `close`.
            guard: limits every read, waiting for a connection included.
            project: the Feast project whose keys are read.
            decisions: finds first decisions; closed by `close`.
        """
        self._decisions = decisions
        self._client = client
        self._guard = guard
        self._project = project

    async def read_entities(
        self,
        *,
        user_id: str,
        merchant_id: str | None,
        with_batch: bool = False,
        timeout_ms: float | None = None,
    ) -> EntityPair:
        """Read everything by one pipeline of at most three commands; see the port."""
        pairs = await self._read_pairs(
            [(user_id, merchant_id)],
            with_batch=with_batch,
            timeout_ms=timeout_ms,
            what=f"the entities of user {user_id!r:.80}",
        )
        return pairs[0]

    async def read_many(
        self,
        ids: Sequence[EntityPairIds],
        *,
        with_batch: bool = False,
        timeout_ms: float | None = None,
    ) -> list[EntityPair]:
        """Read every user and every merchant once, by one pipeline; see the port."""
        return await self._read_pairs(
            ids,
            with_batch=with_batch,
            timeout_ms=timeout_ms,
            what=f"the entities of {len(ids)} users",
        )

    async def read_decision(self, transaction_id: str) -> bytes | None:
        """Read what is kept of it, and its feature row; see the port for the contract."""
        kept = await self._guarded(
            lambda: self._decisions.kept(self._client, transaction_id),
            f"the decision of {transaction_id!r:.80}",
        )
        return None if kept is None else await self._decisions.whole(kept)

    async def ping(self) -> None:
        """Send PING and await its answer; see the port for the contract."""
        await self._guarded(self._client.ping, "an answer to PING")

    async def close(self) -> None:
        """Close the connections of the pool and the feature log."""
        await self._client.aclose()
        self._decisions.close()

    async def _read_pairs(
        self,
        ids: Sequence[EntityPairIds],
        *,
        with_batch: bool,
        timeout_ms: float | None,
        what: str,
    ) -> list[EntityPair]:
        users = list(dict.fromkeys(user_id for user_id, _ in ids))
        merchants = list(dict.fromkeys(merchant_id for _, merchant_id in ids if merchant_id))
        pipeline = self._pipeline(users, merchants, with_batch=with_batch)
        replies = await self._guarded(pipeline.execute, what, timeout_ms=timeout_ms)
        complete = replies.pop(0) if with_batch else None
        of_user = dict(zip(users, replies, strict=False))
        of_merchant = dict(zip(merchants, replies[len(users) :], strict=True))
        return [
            _pair(
                of_user[user_id],
                of_merchant[merchant_id] if merchant_id else (),
                complete,
                with_batch=with_batch,
            )
            for user_id, merchant_id in ids
        ]

    def _pipeline(self, users: Sequence[str], merchants: Sequence[str], *, with_batch: bool) -> Any:
        pipeline = self._client.pipeline(transaction=False)
        fields = list(online_store.state_fields("user"))
        if with_batch:
            # Read first, because it is written last: a user without values now had none before.
            pipeline.get(online_store.complete_key(self._project))
            fields += online_store.batch_fields()
        self._ask(pipeline, "user", users, fields)
        self._ask(pipeline, "merchant", merchants, list(online_store.state_fields("merchant")))
        return pipeline

    def _ask(
        self, pipeline: Redis, entity: Entity, ids: Sequence[str], fields: list[bytes]
    ) -> None:
        for entity_id in ids:
            pipeline.hmget(online_store.entity_key(entity, entity_id, self._project), fields)

    async def _guarded(
        self, command: Callable[[], Awaitable[_T]], what: str, *, timeout_ms: float | None = None
    ) -> _T:
        # One limit for everything: waiting for a free connection, connecting and reading. A read
        # that is cut off closes its connection, so its late answer cannot reach another caller.
        try:
            return await self._guard.call(command, to=f"give {what}", timeout_ms=timeout_ms)
        except RedisUnavailableError as error:
            raise OnlineStoreUnavailableError(str(error)) from error


def connect_reader(
    *,
    redis_url: str,
    project: str,
    decisions: FirstDecisions,
    timeout_ms: int,
    clock_ms: Callable[[], float],
    on_failure: Callable[[], None],
) -> RedisFeatureReader:
    """Make a reader with its own pool. Connects at the first read, so it never fails here.

    Args:
        redis_url: ``redis://host:port/db``.
        project: the Feast project whose keys are read.
        decisions: finds first decisions.
        timeout_ms: limit of every read in ms.
        clock_ms: a clock that never goes back, ms.
        on_failure: called once for each read that failed.
    """
    guard = RedisGuard(
        timeout_ms=timeout_ms, clock_ms=clock_ms, on_failure=on_failure, failures_max=FAILURES_MAX
    )
    client = pooled_client(redis_url)
    return RedisFeatureReader(client, guard=guard, project=project, decisions=decisions)


def _pair(
    user: StoredFields, merchant: StoredFields, complete: bytes | None, *, with_batch: bool
) -> EntityPair:
    if not with_batch:
        return EntityPair(user, merchant)
    # Both views are in one hash, so one command reads them at the same moment.
    states = len(online_store.state_fields("user"))
    return EntityPair(user[:states], merchant, StoredBatch(user[states:], complete))
