"""The Redis adapter of `scoring.core.ports.BatchFeatureReader`: one round trip for a batch.

`clients.redis_guard` limits the waiting, `features.online.layout` knows keys and fields, and
`features.online.batch_values` decodes them. Built by `scoring.wiring`, called by the worker; the
API reads with `scoring.stores.online_reader`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prometheus_client import Counter
from redis.asyncio import Redis

from clients.errors import RedisUnavailableError
from clients.redis_guard import RedisGuard, connect_for_one_caller
from features.online.layout import batch_fields, complete_key, entity_key
from scoring.core.ports import StoredBatch

CALL_USERS_MAX = 500
"""Users of one call: a larger batch is several calls, each with the whole time limit."""

# One script call instead of a pipeline of HMGETs, as in `decision_store`: the same commands and
# the same single round trip, for less CPU time of this process. All keys in one slot.
READ_USERS_SCRIPT = """
local found = {redis.call('GET', KEYS[1])}
for i = 2, #KEYS do
  found[i] = redis.call('HMGET', KEYS[i], unpack(ARGV))
end
return found
"""


class RedisBatchReader:
    """`scoring.core.ports.BatchFeatureReader` on Redis; one caller at a time."""

    def __init__(self, client: Redis, *, guard: RedisGuard, project: str) -> None:
        """Use an existing client; `connect_batch_reader` makes one with the right limits.

        Args:
            client: answers bytes; closed by `close`.
            guard: limits its calls.
            project: the Feast project whose keys are read.
        """
        self._client = client
        self._script: Any = client.register_script(READ_USERS_SCRIPT)
        self._guard = guard
        self._project = project

    async def read_users(self, user_ids: Sequence[str]) -> Sequence[StoredBatch] | None:
        """Read the batch features of some users; see the port for the contract."""
        found: list[StoredBatch] = []
        try:
            for chunk in _chunks(user_ids):
                complete, *users = await self._call(chunk)
                found += [StoredBatch(fields, complete) for fields in users]
        except RedisUnavailableError:
            return None
        return found

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _call(self, user_ids: Sequence[str]) -> Any:
        keys = [complete_key(self._project)]
        keys += [entity_key("user", user_id, self._project) for user_id in user_ids]
        return await self._guard.call(
            lambda: self._script(keys=keys, args=batch_fields()),
            to=f"give the batch features of {len(user_ids)} users",
        )


def connect_batch_reader(
    *,
    redis_url: str,
    project: str,
    timeout_ms: int,
    clock_ms: Callable[[], float],
    failures: Counter,
) -> RedisBatchReader:
    """Make a reader with its own connection. Connects at the first call, so it never fails here.

    Args:
        redis_url: ``redis://host:port/db``.
        project: the Feast project whose keys are read.
        timeout_ms: limit of each call, ms.
        clock_ms: a clock that never goes back, ms.
        failures: counts the calls that failed.
    """
    client = connect_for_one_caller(redis_url, timeout_ms=timeout_ms)
    guard = RedisGuard(timeout_ms=timeout_ms, clock_ms=clock_ms, on_failure=failures.inc)
    return RedisBatchReader(client, guard=guard, project=project)


def _chunks(user_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(user_ids), CALL_USERS_MAX):
        yield user_ids[start : start + CALL_USERS_MAX]
