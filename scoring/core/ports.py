"""What the scoring core asks of the outside world, as small Protocols.

Each port says what may block, what is raised and who calls it. Adapters
(`online_reader`, `decision_store`, `registry`, `model`) implement them, `wiring` chooses one,
and one suite in tests/contract/ runs against every implementation, fakes included.
This module imports no client library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from models.model import Model

StoredFields = Sequence[bytes | None]
"""An entity's fields as stored, in the order of `features.online.layout.state_fields`. All None:
the entity was never seen, or has been deleted."""


class StoredBatch(NamedTuple):
    """The stored batch features of one user, as bytes that nobody has looked at yet."""

    fields: StoredFields
    """In the order of `features.online.layout.batch_fields`; all None: there are none."""
    complete: bytes | None
    """The mark up to which snapshot all users have theirs; None: there is no mark."""


class EntityPair(NamedTuple):
    """The stored entities of one ad-hoc transaction, as bytes that nobody has looked at yet."""

    user: StoredFields
    merchant: StoredFields
    batch: StoredBatch | None = None
    """The user's batch features; None if they were not asked for."""


class FeatureReader(Protocol):
    """Reads what the feature job has stored online. Called by the API, once a request.

    Reads are of the newest folded state: they lag the stream by at most the job's flush
    interval (``online_flush_ms``, ten of them for a merchant), and nothing is cached on the way.
    """

    async def read_entities(
        self, *, user_id: str, merchant_id: str | None, with_batch: bool = False
    ) -> EntityPair:
        """Read a user and, when an id is given, a merchant, in one round trip.

        Blocks: at most ``redis_timeout_ms`` (ms), waiting for a connection included.
        On failure: nothing has changed; the next call starts with a clean connection, a late
        answer to this call is never given to another one.

        Args:
            user_id: the user's id as on the wire.
            merchant_id: the merchant's id, or None to read the user alone.
            with_batch: read the user's batch features, too; they are of the same moment as the
                user's state.

        Returns:
            What is stored. The fields of one entity are of one write, the two entities may be
            of different moments. Without a merchant id its fields are empty.

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


class ModelSource(Protocol):
    """Knows which model decides now."""

    def current(self) -> Model:
        """Give the model to score with: the champion, or the heuristic when there is none.

        Never blocks and never raises; callable from any thread. Two calls may give different
        models, so a batch asks once. A model that was given stays usable for ever.
        """
        ...


class BatchFeatureReader(Protocol):
    """Reads the batch features of some users. Called by the worker, once a batch.

    It is not called at all while the model takes no such features.
    """

    async def read_users(self, user_ids: Sequence[str]) -> Sequence[StoredBatch] | None:
        """Read the batch features of some users, in one round trip for each 500 of them.

        Nothing is cached: two calls may see two materialisations, and one call the middle of one.

        Blocks: at most ``redis_timeout_ms`` (ms) for each 500 users, and not at all while the
        circuit is open after a failure.
        On failure: raises nothing the outside world can cause, and gives None for all of them.

        Args:
            user_ids: as on the wire, each once.

        Returns:
            What is stored, in the order of the ids; None: no complete answer in time.
        """
        ...

    async def close(self) -> None:
        """Close all connections. Called once, at the end of the process; raises nothing."""
        ...


class Kept(NamedTuple):
    """What became of a batch of proposed decisions."""

    values: list[bytes]
    """The decision that stands, one for each proposal, in their order."""
    stored: bool
    """False: the store did not take part; equal repeats are promised by this process only."""


class DecisionStore(Protocol):
    """Remembers the first decision of each transaction. Called by the worker, once a batch."""

    async def keep_first(
        self, proposals: Sequence[tuple[str, bytes]], *, when_unstored: Callable[[int], bytes]
    ) -> Kept:
        """Store each decision unless its transaction has one, and give the ones that stand.

        Two proposals for one transaction in a batch: the earlier one is first. After this
        returned with ``stored``, every later call, by any process, gives the same bytes
        until the time to live is over, whether or not the caller lived to emit them.

        Blocks: at most ``redis_timeout_ms`` (ms) for each hundred proposals, and not at all
        while the circuit is open after a failure.
        On failure: raises nothing the outside world can cause. Decisions that this process
        remembers stand, the others are decided by ``when_unstored``, and ``stored`` is False;
        the store may or may not have the proposals.

        Args:
            proposals: (transaction_id, the decision as the bytes to emit), in log order.
            when_unstored: gives the bytes to emit instead of proposal number i when the
                store does not take part: the same decision, saying so.
        """
        ...

    async def close(self) -> None:
        """Close all connections. Called once, at the end of the process; raises nothing."""
        ...


class OutgoingRecord(NamedTuple):
    """A record to write to Kafka."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]
    timestamp_ms: int
    """Kafka's timestamp of the record, ms since 1970 UTC; 0: now."""


class RecordSink(Protocol):
    """Writes records. Called by the worker, once a batch."""

    async def send(self, records: Sequence[OutgoingRecord]) -> None:
        """Return when the broker has acknowledged every record of the batch.

        Delivery: at least once. Records of one key keep their order.
        Blocks: until the last acknowledgement; bounded by the adapter's delivery timeout.

        Raises:
            DeliveryError: a record was not acknowledged; others of the batch may have been.
        """
        ...
