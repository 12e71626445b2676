"""Reads the histories of a transaction from Redis, with the client of the caller.

The same keys and fields as the API reads, without its time limits and its circuit breaker: those
are the client's (``socket_timeout``). Knows no client library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from features.online import layout as online_store
from scoring.core.ports import EntityPair, StoredBatch


class Pipeline(Protocol):
    """The part of a pipeline of redis-py that is used."""

    def get(self, name: bytes) -> Any:
        """Ask for a value."""
        ...

    def hmget(self, name: bytes, keys: list[bytes]) -> Any:
        """Ask for fields of a hash."""
        ...

    def execute(self) -> list[Any]:
        """Send everything, and give the replies."""
        ...


def read_pair(
    pipeline: Pipeline, *, user_id: str, merchant_id: str, project: str, with_batch: bool = True
) -> EntityPair:
    """Read a user and a merchant in one round trip.

    Blocks: as long as the client. Raises what the client raises.

    Args:
        pipeline: ``Redis(...).pipeline(transaction=False)``, of a client that answers bytes.
        user_id: the user's id.
        merchant_id: the merchant's id.
        project: the setting ``feast_project``.
        with_batch: whether to read the user's batch features, too.
    """
    states = online_store.state_fields("user")
    # Read first, because it is written last: a user without values now had none before.
    pipeline.get(online_store.complete_key(project))
    pipeline.hmget(
        online_store.entity_key("user", user_id, project),
        [*states, *online_store.batch_fields()],
    )
    pipeline.hmget(
        online_store.entity_key("merchant", merchant_id, project),
        list(online_store.state_fields("merchant")),
    )
    complete, user, merchant = pipeline.execute()
    batch = StoredBatch(_rest(user, len(states)), complete) if with_batch else None
    return EntityPair(user[: len(states)], merchant, batch)


def _rest(values: Sequence[bytes | None], start: int) -> Sequence[bytes | None]:
    return values[start:]
