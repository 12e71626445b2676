"""What the two stages of the backfill share: a velocity stage that is run key by key.

The input is bounded and sorted: all records of one key, then those of the next key. Owns what
happens to the state of a key after its last record, and the refusal of records that the velocity
job once accepted. The stages of the velocity job fold; ``operators.py`` opens these stages.
"""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from schemas.errors import WeirError
from schemas.transaction import Limits
from streams.backfill.online_states import OnlineStates
from streams.velocity.journal import SNAPSHOT, JournalStore
from streams.velocity.merchant_stage import MerchantStage
from streams.velocity.record_frame import InboundRecord
from streams.velocity.user_stage import UserStage

V = TypeVar("V", UserStage, MerchantStage)


class RefusedRecordError(WeirError):
    """A record that the velocity job accepted is refused now: the limits have changed."""


class _NoJournal:
    """A journal that keeps nothing: a backfill that fails starts again from the beginning."""

    def read(self) -> bytes:
        return b""

    def append(self, entry: bytes) -> None:
        pass

    def replace(self, snapshot: bytes) -> None:
        pass


NO_JOURNAL: JournalStore = _NoJournal()


class BackfillStage(ABC, Generic[V]):
    """A stage of the velocity job over bounded input. ``BackfillFold.java`` calls it in one thread.

    Args:
        limits: what this deployment accepts.
        online: writes the last state of each key to Redis; None writes none.

    Attributes:
        stage_type: the velocity stage to run; set by the subclass.
    """

    stage_type: type[V]

    def __init__(self, *, limits: Limits, online: OnlineStates | None) -> None:
        self._online = online
        self._stage: V = self.stage_type(
            limits=limits, live_keys_max=1, clock_ms=_no_clock_ms, sink=None
        )

    @abstractmethod
    def process(self, key: str, frame: bytes) -> bytes | None:
        """Process the next frame of the key.

        Returns:
            The element to emit, if any, as ``keyed_frame`` encodes it.
        """

    def finish_key(self, key: str) -> bytes | None:
        """Give the journal of the key after its last frame; None if the key has no state."""
        newest_key, state = next(self._stage.states.items(), (key, None))
        if state is None or newest_key != key:
            return None
        if self._online is not None:
            self._online.add(key, state)
        return SNAPSHOT + state.encode()

    def close(self) -> None:
        """Write the remaining states to Redis, after the last key."""
        if self._online is not None:
            self._online.flush()


def refused(record: bytes) -> RefusedRecordError:
    """The error for a record frame that a stage turned into a dead letter."""
    parsed = InboundRecord.parse(record)
    return RefusedRecordError(
        f"the record at offset {parsed.offset} of {parsed.topic.decode()} partition "
        f"{parsed.partition} was accepted before and is refused now; set WEIR_CURRENCY and the "
        "other limits to their former values"
    )


def _no_clock_ms() -> int:
    """A replay is not compared with the clock; the archive has the time a row was computed."""
    return 0
