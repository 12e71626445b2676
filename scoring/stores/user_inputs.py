"""Reads the inputs of a model of users from Redis: one pipelined round trip for all users.

`features.online.user_inputs` knows keys and fields; `scoring.stores.guarded_reads` limits the
waiting. Called by the API.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio.client import Pipeline

from features.online.user_inputs import UserInputLayout
from scoring.core.user_scores import StoredUser
from scoring.stores.guarded_reads import GuardedReads


class RedisUserInputs:
    """`scoring.core.user_scores.UserInputReader` on Redis, for many callers at a time."""

    def __init__(self, store: GuardedReads) -> None:
        """Read by the process's connections."""
        self._store = store

    async def read(
        self,
        layout: UserInputLayout,
        user_ids: Sequence[str],
        *,
        timeout_ms: float | None = None,
    ) -> dict[str, StoredUser]:
        """Read every user once, by one pipeline; see the port."""
        users = list(dict.fromkeys(user_ids))
        complete_key = layout.complete_key

        def ask(pipeline: Pipeline) -> None:
            # Read first, because it is written last: a user without values now had none before.
            if complete_key is not None:
                pipeline.get(complete_key)
            for user_id in users:
                pipeline.hmget(layout.key(user_id), layout.fields)

        what = f"the inputs of {len(users)} users"
        replies = await self._store.read(ask, what=what, timeout_ms=timeout_ms)
        complete = None if complete_key is None else replies.pop(0)
        return {
            user_id: StoredUser(fields, complete)
            for user_id, fields in zip(users, replies, strict=True)
        }
