"""The ports of the scoring core: what it needs from outside, as small Protocols.

Each port says what may block, what is raised and who calls it. The adapters in `scoring.stores`
and `scoring.worker` implement them, and `scoring.wiring` chooses one. One suite in
`tests/contract` runs against every implementation, fakes included. Imports no client library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from models.model import Model
from schemas.decision import Offset

StoredFields = Sequence[bytes | None]
"""An entity's fields as stored, in the order of `features.online.layout.state_fields`. All None if
the entity was never seen or has been deleted."""


EntityPairIds = tuple[str, str | None]
"""A user's id, and a merchant's id or None."""


class StoredBatch(NamedTuple):
    """The stored batch features of one user, not yet decoded."""

    fields: StoredFields
    """In the order of `features.online.layout.batch_fields`; all None if there are none."""
    complete: bytes | None
    """The time of the newest snapshot that was written for all users; None if there is none."""


class EntityPair(NamedTuple):
    """The stored user and merchant of one ad-hoc transaction, not yet decoded."""

    user: StoredFields
    merchant: StoredFields
    batch: StoredBatch | None = None
    """The user's batch features; None if they were not asked for."""


class FeatureReader(Protocol):
    """Reads the states that the velocity job stores in Redis. Called by the API, once a request.

    A stored state lags the stream by at most the job's flush interval (``online_flush_ms``, ten of
    them for a merchant). Nothing is cached on the way.
    """

    async def read_entities(
        self,
        *,
        user_id: str,
        merchant_id: str | None,
        with_batch: bool = False,
        timeout_ms: float | None = None,
    ) -> EntityPair:
        """Read a user and, when an id is given, a merchant, in one round trip.

        Blocks: at most ``redis_timeout_ms`` or the given limit (ms), waiting for a connection
        included, and not at all while the circuit is open after failures.
        On failure: nothing has changed. The next call starts with a clean connection, so a late
        answer to this call is never taken for the answer to another one.

        Args:
            user_id: the user's id as on the wire.
            merchant_id: the merchant's id, or None to read the user alone.
            with_batch: whether to read the user's batch features, too; they are read at the same
                moment as the user's state.
            timeout_ms: limit of this read, ms; None for ``redis_timeout_ms``.

        Returns:
            The stored fields. Those of one entity are of one write; the two entities may be of
            different times. Without a merchant id the merchant's fields are empty.

        Raises:
            OnlineStoreUnavailableError: no complete answer in time.
        """
        ...

    async def read_many(
        self,
        ids: Sequence[EntityPairIds],
        *,
        with_batch: bool = False,
        timeout_ms: float | None = None,
    ) -> list[EntityPair]:
        """Read many users and merchants in one round trip, each of them once.

        Blocks and fails as `read_entities`: all of them are read, or none.

        Args:
            ids: a user and a merchant for each transaction; the same ones may come again.
            with_batch: as for `read_entities`.
            timeout_ms: limit of this read, ms; None for ``redis_timeout_ms``.

        Returns:
            One pair for each entry, in their order.

        Raises:
            OnlineStoreUnavailableError: no complete answer in time.
        """
        ...

    async def read_decision(self, transaction_id: str) -> bytes | None:
        """Read the first decision of a transaction, as the bytes that were produced.

        Blocks: at most ``redis_timeout_ms`` (ms) for each of two round trips, then as
        `FeatureLog.read`.

        Returns:
            The decision's JSON; None if there was none or its time to live is over.

        Raises:
            OnlineStoreUnavailableError: no answer in time, or its feature row could not be read.
        """
        ...

    async def ping(self) -> None:
        """Return if the store answers. Called by readiness probes.

        Blocks: at most ``redis_timeout_ms`` (ms).

        Raises:
            OnlineStoreUnavailableError: no answer in time.
        """
        ...

    async def close(self) -> None:
        """Close all connections. Called once, at the end of the process; raises nothing."""
        ...


class ModelSource(Protocol):
    """Gives the model that scores at present."""

    def current(self) -> Model:
        """Give the model to score with: the champion, or the heuristic if there is none.

        Never blocks and never raises; may be called from any thread. Two calls may give different
        models, so a batch calls it once. A model stays usable after the champion has changed.
        """
        ...


class BatchFeatureReader(Protocol):
    """Reads the batch features of some users. Called by the worker, once a batch.

    Not called while the model takes no batch features.
    """

    async def read_users(self, user_ids: Sequence[str]) -> Sequence[StoredBatch] | None:
        """Read the batch features of some users, in one round trip for each 500 of them.

        Nothing is cached: two calls may see different snapshots, and so may one call that runs
        during a materialisation.

        Blocks: at most ``redis_timeout_ms`` (ms) for each 500 users, and not at all while the
        circuit is open after a failure.
        On failure: raises no error for a failure of the store, and returns None.

        Args:
            user_ids: as on the wire, each once.

        Returns:
            The stored bytes, in the order of the ids; None if there was no complete answer in
            time.
        """
        ...

    async def close(self) -> None:
        """Close all connections. Called once, at the end of the process; raises nothing."""
        ...


class Kept(NamedTuple):
    """The result of proposing a batch of decisions."""

    values: list[bytes]
    """What stands for each proposal's transaction, in the order of the proposals."""
    stored: bool
    """False if the store failed: then only this process gives repeats the same decision."""


class DecisionStore(Protocol):
    """Remembers the first decision of each transaction. Called by the worker, once a batch."""

    async def keep_first(
        self,
        proposals: Sequence[tuple[bytes, bytes]],
        *,
        contexts: Mapping[bytes, bytes],
        when_unstored: Callable[[int], bytes],
    ) -> Kept:
        """Store each decision unless its transaction has one, and give the first ones.

        Of two proposals for one transaction in a batch, the earlier one is the first decision.
        Once this has returned with ``stored``, every later call by any process gives the same
        bytes until the time to live is over, even if the caller ended before it produced them.

        Blocks: at most ``redis_timeout_ms`` (ms) for each 500 proposals, twice as long for new
        contexts, and not at all while the circuit is open after a failure.
        On failure: raises no error for a failure of the store. The decisions that this process
        remembers stay valid, the others come from ``when_unstored``, and ``stored`` is False. The
        store may or may not hold the proposals.

        Args:
            proposals: (transaction_id, what to keep of the decision), in log order.
            contexts: the contexts that any of this may name, by digest. They are stored before a
                decision that names them.
            when_unstored: gives what to keep instead of proposal number i if the store failed, or
                has lost what it had: the same decision, marked as degraded.
        """
        ...

    async def context(self, digest: bytes) -> bytes | None:
        """Give a context that some process has stored.

        Blocks and fails as `keep_first`.

        Returns:
            None if there is none, or the store failed.
        """
        ...

    async def close(self) -> None:
        """Close all connections. Called once, at the end of the process; raises nothing."""
        ...


class FeatureLog(Protocol):
    """Reads rows of the feature log again. Called for repeats and by the API."""

    async def read(self, places: Sequence[Offset]) -> dict[Offset, bytes]:
        """Give the values of the records at some places.

        Blocks: some seconds at most; the adapter's time limit.
        On failure: raises nothing; gives what could be read in time. A place without a record,
        or one that the log has deleted, is left out.
        """
        ...

    def close(self) -> None:
        """Close the connection. Called once, at the end of the process; raises nothing."""
        ...


class RecordPlace(Protocol):
    """Where a record lies in Kafka."""

    @property
    def topic(self) -> str:
        """Its topic."""
        ...

    @property
    def partition(self) -> int:
        """Its partition."""
        ...

    @property
    def offset(self) -> int:
        """Its offset."""
        ...


class OutgoingRecord(NamedTuple):
    """A record to write to Kafka."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]
    timestamp_ms: int
    """Kafka's timestamp of the record, ms since 1970 UTC; 0 for the present time."""
    source: RecordPlace
    """The consumed record that it was made from."""


class RecordSink(Protocol):
    """Writes records. Called by the worker, once a batch."""

    async def send(self, records: Sequence[OutgoingRecord]) -> None:
        """Return when the broker has acknowledged every record of the batch.

        A record that is too large for its topic becomes a dead letter, and a dead letter that is
        too large is shortened.

        Delivery: at least once. Records of one key keep their order, unless one was too large.
        Blocks: until the last acknowledgement; bounded by the adapter's delivery timeout.

        Raises:
            DeliveryError: a record was not acknowledged; others of the batch may have been.
        """
        ...
