"""What the two stages of the backfill share: the engine of one entity, run key by key.

The input is bounded and sorted: all records of one key, then those of the next key. Owns what
happens to the state of a key after its last record, and the refusal of records that the velocity
job once accepted. ``operators.py`` opens the stages.
"""

from abc import ABC, abstractmethod

from schemas.errors import WeirError
from streams.velocity.engine import Engine
from streams.velocity.engine_frames import decode_outcome, encode_batch, encode_journals
from streams.velocity.online_writer import BATCH_KEYS_MAX, OnlineWriter
from streams.velocity.record_frame import InboundRecord

_NO_JOURNAL = encode_journals([[]])
"""The journal of one new key."""
_NO_CLOCK_MS = 0
"""A replay is not compared with the clock; the archive has the time a row was computed."""


class RefusedRecordError(WeirError):
    """A record that the velocity job accepted is refused now: the limits have changed."""


class BackfillStage(ABC):
    """Folds bounded input for one entity. ``BackfillFold.java`` calls it in one thread.

    No state is durable: a backfill that fails starts again from the beginning.

    Args:
        engine: the engine of the entity; it keeps one state in memory.
        entity: position of the entity.
        writer: writes the last state of each key to Redis, not started; None writes none.
    """

    def __init__(self, engine: Engine, entity: int, writer: OnlineWriter | None) -> None:
        self._engine = engine
        self._entity = entity
        self._writer = writer

    @abstractmethod
    def process(self, key: str, frame: bytes) -> bytes | None:
        """Process the next frame of the key.

        Returns:
            The element to emit, if any, as ``keyed_frame`` encodes it.
        """

    def finish_key(self, key: str) -> bytes | None:
        """Give the journal of the key after its last frame; None if the key has no state.

        Returns:
            The position of the entity in one byte, then the one entry of the journal.

        Raises:
            redis.RedisError: Redis did not store the states.
        """
        snapshot = self._engine.job.snapshot(self._entity, key)
        if snapshot is None:
            return None
        if self._engine.job.changed_len(self._entity) >= BATCH_KEYS_MAX:
            self._write()
        return bytes([self._entity]) + snapshot

    def close(self) -> None:
        """Write the remaining states to Redis, after the last key."""
        self._write()

    def _fold(self, element: bytes) -> list[tuple[str, bytes]]:
        """Fold one element; gives what the engine emits, each with its key."""
        if self._engine.begin(encode_batch([element]), now_ms=_NO_CLOCK_MS):
            self._engine.restore(_NO_JOURNAL)
        return decode_outcome(self._engine.finish(now_ms=_NO_CLOCK_MS)).emitted

    def _sequence(self, key: str) -> int:
        return self._engine.job.sequence(self._entity, key) or 0

    def _write(self) -> None:
        if self._writer is not None:
            self._writer.write_all()


def refused(record: bytes) -> RefusedRecordError:
    """The error for a record frame that the engine turned into a dead letter."""
    parsed = InboundRecord.parse(record)
    return RefusedRecordError(
        f"the record at offset {parsed.offset} of {parsed.topic.decode()} partition "
        f"{parsed.partition} was accepted before and is refused now; set WEIR_CURRENCY and the "
        "other limits to their former values"
    )
