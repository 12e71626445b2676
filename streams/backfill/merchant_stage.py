"""The merchant stage of the backfill: events to feature rows, with labels in their order.

Owns which labels are folded before which transaction. Opened by ``operators.py``.
"""

from collections import deque

from streams.backfill.frames import PLACE_BYTES, FoldPlace
from streams.backfill.keyed_frame import NO_KEY
from streams.backfill.stage import BackfillStage, refused
from streams.velocity.engine import Engine
from streams.velocity.online_writer import OnlineWriter
from streams.velocity.record_frame import InboundRecord

_RECORD = ord("R")


class MerchantBackfill(BackfillStage):
    """Completes events to rows and folds labels at the positions they had in the stream.

    The labels of a merchant come first and are queued. Before each transaction the stage folds as
    many labels as the velocity job had folded before it: the sequence in the feature row counts
    both. If the log begins in the middle, labels may be folded too early. That is harmless, because
    a label observed after a transaction does not change the values of the transaction.
    """

    def __init__(self, engine: Engine, entity: int, writer: OnlineWriter | None) -> None:
        super().__init__(engine, entity, writer)
        self._labels: deque[bytes] = deque()

    def process(self, key: str, frame: bytes) -> bytes | None:
        """Queue a label, or complete a row.

        Raises:
            RefusedRecordError: a label is not valid by the present limits.
        """
        place, rest = FoldPlace.unpack(frame), frame[PLACE_BYTES:]
        if rest[0] == _RECORD:
            self._labels.append(rest)
            return None
        while self._labels and self._sequence(key) < place.labels_until:
            self._fold_label()
        ((_, row),) = self._fold(rest)
        return NO_KEY + (InboundRecord.parse(row).value or b"")

    def finish_key(self, key: str) -> bytes | None:
        """Fold the labels after the last transaction, then give the merchant's journal."""
        while self._labels:
            self._fold_label()
        return super().finish_key(key)

    def _fold_label(self) -> None:
        label = self._labels.popleft()
        if self._fold(label):
            raise refused(label)
