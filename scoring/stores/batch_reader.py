"""The Redis adapter of `scoring.core.ports.BatchFeatureReader`: a batch's users in one round trip.

Owns the connection, every limit on waiting, and the circuit that leaves a Redis alone which has
not answered. Keys and fields are `features.online.layout`'s, what they mean `batch_values`'. Built
by `wiring`, called by the worker; the API reads with `online_reader`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prometheus_client import Counter
from redis.asyncio import Redis

from features.online.layout import batch_fields, complete_key, entity_key
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.ports import StoredBatch
from scoring.stores.decision_store import CIRCUIT_OPEN_MS, connect_for_one_caller, is_outage

logger = logging.getLogger(__name__)

CALL_USERS_MAX = 500
"""Users of one call: a larger batch is several calls, each with the whole time limit."""

# One script call instead of a pipeline of HMGETs, as in `decision_store`: the same commands and
# the same single round trip, for less of this process's time. One slot only, no cluster.
READ_USERS_SCRIPT = """
local found = {redis.call('GET', KEYS[1])}
for i = 2, #KEYS do
  found[i] = redis.call('HMGET', KEYS[i], unpack(ARGV))
end
return found
"""


class RedisBatchReader:
    """`scoring.core.ports.BatchFeatureReader` on Redis; one caller at a time."""

    def __init__(
        self,
        client: Redis,
        *,
        project: str,
        timeout_ms: int,
        clock_ms: Callable[[], float],
        failures: Counter,
    ) -> None:
        """Use an existing client; `connect_batch_reader` makes one with the right limits.

        Args:
            client: answers bytes; closed by `close`.
            project: the Feast project whose keys are read.
            timeout_ms: limit of each call, ms.
            clock_ms: a clock that never goes back, ms; only differences are used.
            failures: counts the calls that failed.
        """
        self._client = client
        self._script: Any = client.register_script(READ_USERS_SCRIPT)
        self._project = project
        self._timeout_ms = timeout_ms
        self._clock_ms = clock_ms
        self._failures = failures
        self._closed_again_ms = -1.0

    async def read_users(self, user_ids: Sequence[str]) -> Sequence[StoredBatch] | None:
        """Read the batch features of some users; see the port for the contract."""
        if self._clock_ms() < self._closed_again_ms:
            return None
        found: list[StoredBatch] = []
        try:
            for chunk in _chunks(user_ids):
                complete, *users = await self._call(chunk)
                found += [StoredBatch(fields, complete) for fields in users]
        except OnlineStoreUnavailableError as error:
            self._closed_again_ms = self._clock_ms() + CIRCUIT_OPEN_MS
            self._failures.inc()
            logger.warning("%s; going on without them for %d ms", error, CIRCUIT_OPEN_MS)
            return None
        return found

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def _call(self, user_ids: Sequence[str]) -> Any:
        keys = [complete_key(self._project)]
        keys += [entity_key("user", user_id, self._project) for user_id in user_ids]
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                return await self._script(keys=keys, args=batch_fields())
        except Exception as error:
            if not is_outage(error):
                raise
            raise OnlineStoreUnavailableError(
                f"Redis did not give the batch features of {len(user_ids)} users within "
                f"redis_timeout_ms={self._timeout_ms}: {error!r:.200}"
            ) from error


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
    return RedisBatchReader(
        client, project=project, timeout_ms=timeout_ms, clock_ms=clock_ms, failures=failures
    )


def _chunks(user_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(user_ids), CALL_USERS_MAX):
        yield user_ids[start : start + CALL_USERS_MAX]
