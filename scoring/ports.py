"""What the scoring core asks of the outside world, as small Protocols.

Each port says what may block, what is raised and who calls it. Adapters
(`online_reader`, `decision_store`, `registry`) implement them, `wiring` chooses one,
and one suite in tests/contract/ runs against every implementation, fakes included.
This module imports no client library.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from features.online_store import OnlineEntity


class EntityPair(NamedTuple):
    """The stored entities of one ad-hoc transaction; None where nothing is stored."""

    user: OnlineEntity | None
    merchant: OnlineEntity | None


class FeatureReader(Protocol):
    """Reads what the feature job has stored online. Called by the API, once a request.

    Reads are of the newest folded state: they lag the stream by at most the job's flush
    interval (``online_flush_ms``), and nothing is cached on the way.
    """

    async def read_entities(self, *, user_id: str, merchant_id: str | None) -> EntityPair:
        """Read a user and, when an id is given, a merchant, in one round trip.

        Blocks: at most ``redis_timeout_ms`` (ms), waiting for a connection included.
        On failure: nothing has changed; the next call starts with a clean connection, a late
        answer to this call is never given to another one.

        Args:
            user_id: the user's id as on the wire.
            merchant_id: the merchant's id, or None to read the user alone.

        Returns:
            What is stored; None for an entity that was never seen (or has been deleted).

        Raises:
            OnlineStoreUnavailableError: no complete answer in time.
        """
        ...

    async def read_decision(self, transaction_id: str) -> bytes | None:
        """Read the first decision of a transaction, as the bytes that were emitted.

        Blocks: at most ``redis_timeout_ms`` (ms).

        Returns:
            The decision's JSON; None when there was none or its time to live is over.

        Raises:
            OnlineStoreUnavailableError: no answer in time.
        """
        ...

    async def ping(self) -> None:
        """Return when the store answers. Called by readiness probes.

        Blocks: at most ``redis_timeout_ms`` (ms).

        Raises:
            OnlineStoreUnavailableError: no answer in time.
        """
        ...

    async def close(self) -> None:
        """Close all connections. Called once, at the end of the process; raises nothing."""
        ...
