"""The two stages of the velocity job over a bounded input: a key's records, then the next key's.

Decides nothing of its own: ``stages.py`` folds. Owns what a batch lacks: which labels a merchant
had before which transaction, what becomes of a key's state after its last record, and that nobody
computes by other definitions than were asked for. Runs inside the TaskManager, called by
``streams/jvm/weir/BackfillFold.java``; `backfill_job.py` puts it into the graph.
"""

from collections import deque
from typing import Protocol, TypeVar

from features.definitions import DEFINITION_DIGEST, Entity
from features.engine.state import MerchantState, UserState
from schemas.errors import WeirError
from schemas.settings import Settings
from schemas.transaction import Limits
from streams.backfill.frames import PLACE_BYTES, FoldPlace
from streams.velocity.journal import SNAPSHOT, JournaledStates
from streams.velocity.record_frame import InboundRecord
from streams.velocity.redis_sink import OnlineSink, open_sink
from streams.velocity.stages import MerchantStage, UserStage

_REDIS_S_MAX = 10.0
"""Nothing but the backfill waits for Redis here, so it may wait long."""
_ONLINE_KEYS_AT_ONCE = 256
_RECORD = ord("R")
_NO_KEY = b"\x00\x00"


class OtherDefinitionsRunningError(WeirError):
    """The TaskManager has loaded other definitions than the backfill is for; restart it."""


class RefusedRecordError(WeirError):
    """A record that was folded once is refused now: the deployment's limits have changed."""


class BackfillStage(Protocol):
    """What ``BackfillFold.java`` calls, always in one thread."""

    def process(self, key: str, frame: bytes) -> bytes | None:
        """Take the key's next frame; the answer is the next key behind its length, and bytes."""
        ...

    def finish_key(self, key: str) -> bytes | None:
        """After the key's last frame: the journal to start from; None if there is no state."""
        ...

    def close(self) -> None:
        """After the last key."""
        ...


class _NoJournal:
    """A key is folded from its first record to its last in one go: nothing needs to be durable."""

    def read(self) -> bytes:
        return b""

    def append(self, entry: bytes) -> None:
        pass

    def replace(self, snapshot: bytes) -> None:
        pass


_NO_JOURNAL = _NoJournal()


class SeededOnline:
    """Writes states to Redis, as the velocity job would, some hundred keys at once.

    **Delivery:** every state, once ``close`` has returned; guarded like all writes of states, so
    doing it again is harmless. **Blocks:** for Redis. **On failure:** raises, and the job fails.
    """

    def __init__(self, sink: OnlineSink) -> None:
        self._sink = sink
        self._waiting: dict[str, UserState | MerchantState] = {}

    def add(self, key: str, state: UserState | MerchantState) -> None:
        """Take a key's last state."""
        self._waiting[key] = state
        if len(self._waiting) >= _ONLINE_KEYS_AT_ONCE:
            self.close()

    def close(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._sink.write_now(self._waiting)
            self._waiting = {}


class UserBackfill:
    """Transactions to unfinished rows, like ``UserStage``; keeps the places in front of them."""

    def __init__(self, *, limits: Limits, online: SeededOnline | None) -> None:
        self._online = online
        self._stage = UserStage(limits=limits, live_keys_max=1, clock_ms=_no_clock_ms, sink=None)

    def process(self, key: str, frame: bytes) -> bytes:  # noqa: ARG002 - a merchant's needs it
        """Fold one transaction."""
        place, record = frame[:PLACE_BYTES], frame[PLACE_BYTES:]
        answer = self._stage.process(record, _NO_JOURNAL)
        rest_at = len(_NO_KEY) + int.from_bytes(answer[: len(_NO_KEY)], "big")
        if rest_at == len(_NO_KEY):
            raise _refused(record)
        return answer[:rest_at] + place + answer[rest_at:]

    def finish_key(self, key: str) -> bytes | None:
        """The user's journal."""
        return _finished(self._stage.states, key, self._online)

    def close(self) -> None:
        """Write the last states to Redis."""
        if self._online is not None:
            self._online.close()


class MerchantBackfill:
    """Unfinished rows to the values of feature records, like ``MerchantStage``.

    A merchant's labels come first and wait. Before a transaction as many are folded as its
    merchant had taken when the transaction was folded the first time: the sequence in its feature
    row counts both. What was observed later than a transaction never changes its values, so a
    label too early, where a log begins in the middle, does no harm either.
    """

    def __init__(self, *, limits: Limits, online: SeededOnline | None) -> None:
        self._online = online
        self._labels: deque[bytes] = deque()
        self._stage = MerchantStage(
            limits=limits, live_keys_max=1, clock_ms=_no_clock_ms, sink=None
        )

    def process(self, key: str, frame: bytes) -> bytes | None:
        """Keep a label, or finish a row."""
        place, rest = FoldPlace.unpack(frame), frame[PLACE_BYTES:]
        if rest[0] == _RECORD:
            self._labels.append(rest)
            return None
        state = self._stage.states.load(key, _NO_JOURNAL).state
        while self._labels and state.sequence < place.labels_until:
            self._fold_label()
        answer = self._stage.process(rest, _NO_JOURNAL)
        assert answer is not None
        return _NO_KEY + (InboundRecord.parse(answer).value or b"")

    def finish_key(self, key: str) -> bytes | None:
        """Fold the labels that came after the last transaction; the merchant's journal."""
        while self._labels:
            self._fold_label()
        return _finished(self._stage.states, key, self._online)

    def close(self) -> None:
        """Write the last states to Redis."""
        if self._online is not None:
            self._online.close()

    def _fold_label(self) -> None:
        label = self._labels.popleft()
        if self._stage.process(label, _NO_JOURNAL) is not None:
            raise _refused(label)


def open_backfill_stage(
    entity: Entity, settings: str, definition_digest: str, seeds_online_state: bool
) -> BackfillStage:
    """Make the stage of an entity; called once by each task, in its thread.

    Args:
        entity: ``user`` or ``merchant``.
        settings: of the deployment, as JSON.
        definition_digest: of the definitions that the backfill is for.
        seeds_online_state: whether the last states go to Redis.

    Raises:
        OtherDefinitionsRunningError: this process computes by other definitions.
    """
    if definition_digest != DEFINITION_DIGEST:
        raise OtherDefinitionsRunningError(
            f"the TaskManager has loaded the definitions {DEFINITION_DIGEST}, the backfill is for "
            f"{definition_digest}; restart it: `weir down`, `weir up`"
        )
    parsed = Settings.model_validate_json(settings)
    limits = Limits.from_settings(parsed)
    online = (
        SeededOnline(open_sink(entity, parsed, redis_s_max=_REDIS_S_MAX))
        if seeds_online_state
        else None
    )
    if entity == "user":
        return UserBackfill(limits=limits, online=online)
    return MerchantBackfill(limits=limits, online=online)


_S = TypeVar("_S", UserState, MerchantState)


def _finished(states: JournaledStates[_S], key: str, online: SeededOnline | None) -> bytes | None:
    newest_key, state = next(states.items(), (key, None))
    if state is None or newest_key != key:
        return None
    if online is not None:
        online.add(key, state)
    return SNAPSHOT + state.encode()


def _refused(record: bytes) -> RefusedRecordError:
    parsed = InboundRecord.parse(record)
    return RefusedRecordError(
        f"the record at offset {parsed.offset} of {parsed.topic.decode()} partition "
        f"{parsed.partition} was folded once and is refused now; set WEIR_CURRENCY and the other "
        "limits as they were"
    )


def _no_clock_ms() -> int:
    """Replayed records are compared with no clock; when a row was computed, the archive says."""
    return 0
