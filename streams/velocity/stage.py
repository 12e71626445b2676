"""What the two stages of the velocity job share: states, their journal, and the way into Redis.

Knows neither Flink nor the features of an entity; `UserStage` and `MerchantStage` add those. What
is valid is decided by ``schemas.codec``, what a feature is by ``features.engine.state``.
Constructed by ``operators.py`` (Flink), by the backfill and by tests.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

from features.engine.state import MerchantState, UserState
from schemas import topics
from schemas.transaction import Limits
from streams.velocity.journal import JournaledStates, JournalStore, LiveState
from streams.velocity.record_frame import InboundRecord
from streams.velocity.redis_sink import OnlineSink

S = TypeVar("S", UserState, MerchantState)

_REPLAY = topics.HEADER_REPLAY.encode()
_TYPE = topics.HEADER_TYPE.encode()


class Stage(ABC, Generic[S]):
    """One step of the velocity job: it folds records into the states of one entity.

    Args:
        limits: what this deployment accepts.
        live_keys_max: how many states are kept in memory.
        clock_ms: the wall clock, ms since 1970 UTC.
        sink: receives changed states for Redis; None writes none.

    Attributes:
        state_type: the class of the entity's state; set by the subclass.
        states: the states by key.
    """

    state_type: type[S]

    def __init__(
        self,
        *,
        limits: Limits,
        live_keys_max: int,
        clock_ms: Callable[[], int],
        sink: OnlineSink | None,
    ) -> None:
        self.states: JournaledStates[S] = JournaledStates(
            new=self.state_type,
            decode=self.state_type.decode,
            replay=self.replay_entry,
            live_keys_max=live_keys_max,
        )
        self._limits = limits
        self._clock_ms = clock_ms
        self._sink = sink
        # The sink's thread encodes states, so a state may only change while its lock is held.
        self._state_lock: AbstractContextManager[object] = (
            nullcontext() if sink is None else sink.lock
        )

    @abstractmethod
    def process(self, frame: bytes, store: JournalStore) -> bytes | None:
        """Process one element of Flink's stream.

        Args:
            frame: the element without its key.
            store: the journal of the element's key.

        Returns:
            The element to emit, if any.
        """

    @abstractmethod
    def replay_entry(self, state: S, entry: bytes) -> None:
        """Fold one journal entry into a state that is being restored."""

    def _save(self, key: str, live: LiveState[S], entry: bytes, store: JournalStore) -> None:
        """Append to the journal and mark the state for Redis. The caller holds the lock."""
        self.states.record(live, entry, store)
        if self._sink is not None:
            self._sink.mark(key, live.state)


def is_replay(record: InboundRecord) -> bool:
    """Whether the record's headers say that it is a replay."""
    return record.may_have_header(_REPLAY) and topics.is_replay(record.headers)


def check_type(record: InboundRecord, *, expected: str) -> None:
    """Refuse a record whose CloudEvents type is not the expected one; no type is accepted.

    Raises:
        InvalidEventError: the header ``ce_type`` names another type.
    """
    if record.may_have_header(_TYPE) and not record.may_have_header(expected.encode()):
        topics.check_event_type(record.headers, expected=expected)
