"""The native engine, with the Python decoder for the records that the engine leaves to it.

The engine decodes records that are plainly valid. Every other record is decoded by
``schemas.codec``, in its place within the batch, so that there is one decision about validity and
one wording of errors. Knows no Flink and no Redis; ``operators.py``, the backfill and tests call it
with one batch at a time.
"""

from dataclasses import fields

from features.engine.job import Job
from schemas import codec, topics
from schemas.errors import InvalidEventError
from schemas.label import Label
from schemas.shortened_dead_letter import check_value_is_there
from schemas.transaction import Limits, Transaction
from streams.velocity.dead_letter import dead_letter
from streams.velocity.record_frame import InboundRecord

_LABELS = topics.LABELS.encode()
_LABEL_FIELDS = tuple(field.name for field in fields(Label))
_TRANSACTION_FIELDS = tuple(field.name for field in fields(Transaction))


class Engine:
    """Computes a batch: ``begin``, ``restore`` as long as journals are asked for, ``finish``.

    Nothing is folded before ``finish``. If ``finish`` raises, the states are no longer valid and
    the engine must not be used again.

    Args:
        job: the native part.
        limits: what this deployment accepts.

    Attributes:
        job: the native part, for its states.
    """

    def __init__(self, job: Job, *, limits: Limits) -> None:
        self.job = job
        self._limits = limits

    def begin(self, batch: bytes, *, now_ms: int) -> bytes:
        """Decode a batch, as `engine_frames.encode_batch` encodes it.

        Args:
            batch: record frames, or elements that another operator emitted.
            now_ms: the wall clock, ms since 1970 UTC.

        Returns:
            The journals to read before ``finish``; empty if there are none.
        """
        for position in self.job.begin(batch, now_ms):
            self._decode(position, now_ms)
        return self.job.missing()

    def restore(self, journals: bytes) -> bytes:
        """Take the journals that were asked for last.

        Returns:
            Further journals to read before ``finish``; empty if there are none. A repeat meets the
            keys of its first delivery, which the user's journal tells; there is no third round.

        Raises:
            StateBytesError: a journal has another format or other definitions.
        """
        self.job.restore(journals)
        return self.job.missing()

    def finish(self, *, now_ms: int) -> bytes:
        """Fold the batch; gives its outcome.

        Args:
            now_ms: the wall clock, ms since 1970 UTC; rows carry it.
        """
        return self.job.finish(now_ms)

    def _decode(self, position: int, now_ms: int) -> None:
        record = InboundRecord.parse(self.job.left(position))
        is_replay = topics.is_replay(record.headers)
        try:
            values = self._values(record, now_ms, is_replay=is_replay)
        except InvalidEventError as error:
            self.job.refuse(position, dead_letter(record, stage="decode", error=error))
        else:
            self.job.supply(position, values, is_replay)

    def _values(
        self, record: InboundRecord, now_ms: int, *, is_replay: bool
    ) -> list[str | int | bool | None]:
        """Give the values of the record's fields, in the order of their type."""
        is_label = record.topic == _LABELS
        event_type = topics.LABEL_TYPE if is_label else topics.TRANSACTION_TYPE
        topics.check_event_type(record.headers, expected=event_type)
        check_value_is_there(record.value, record.headers)
        if is_label:
            label = codec.decode_label(
                record.value, limits=self._limits, now_ms=now_ms, is_replay=is_replay
            )
            return [getattr(label, name) for name in _LABEL_FIELDS]
        transaction = codec.decode_transaction(
            record.value,
            limits=self._limits,
            now_ms=now_ms,
            is_replay=is_replay,
            record_ms=record.timestamp_ms,
        )
        return [getattr(transaction, name) for name in _TRANSACTION_FIELDS]
