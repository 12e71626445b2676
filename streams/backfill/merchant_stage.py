"""The merchant stage of the backfill: unfinished rows to feature rows, with labels in their order.

Folds with the velocity job's `MerchantStage`. Owns which labels are folded before which
transaction. Opened by ``operators.py``.
"""

from collections import deque

from schemas.transaction import Limits
from streams.backfill.frames import PLACE_BYTES, FoldPlace
from streams.backfill.online_states import OnlineStates
from streams.backfill.stage import NO_JOURNAL, BackfillStage, refused
from streams.velocity.keyed_frame import NO_KEY
from streams.velocity.merchant_stage import MerchantStage
from streams.velocity.record_frame import InboundRecord

_RECORD = ord("R")


class MerchantBackfill(BackfillStage[MerchantStage]):
    """Completes unfinished rows and folds labels at the positions they had in the stream.

    The labels of a merchant come first and are queued. Before each transaction the stage folds as
    many labels as the velocity job had folded before it: the sequence in the feature row counts
    both. If the log begins in the middle, labels may be folded too early. That is harmless, because
    a label observed after a transaction does not change the values of the transaction.
    """

    stage_type = MerchantStage

    def __init__(self, *, limits: Limits, online: OnlineStates | None) -> None:
        super().__init__(limits=limits, online=online)
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
        state = self._stage.states.load(key, NO_JOURNAL).state
        while self._labels and state.sequence < place.labels_until:
            self._fold_label()
        answer = self._stage.process(rest, NO_JOURNAL)
        assert answer is not None
        return NO_KEY + (InboundRecord.parse(answer).value or b"")

    def finish_key(self, key: str) -> bytes | None:
        """Fold the labels after the last transaction, then give the merchant's journal."""
        while self._labels:
            self._fold_label()
        return super().finish_key(key)

    def _fold_label(self) -> None:
        label = self._labels.popleft()
        if self._stage.process(label, NO_JOURNAL) is not None:
            raise refused(label)
