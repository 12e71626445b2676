"""The user stage of the backfill: transactions to events with the values of their users.

Adds to each event the position that its frame carries. Opened by ``operators.py``.
"""

from streams.backfill.frames import PLACE_BYTES
from streams.backfill.keyed_frame import encode_keyed
from streams.backfill.stage import BackfillStage, refused


class UserBackfill(BackfillStage):
    """Folds transactions by user and keeps the position in front of each."""

    def process(self, key: str, frame: bytes) -> bytes:  # noqa: ARG002 - the merchant stage uses it
        """Fold one transaction.

        Raises:
            RefusedRecordError: the transaction is not valid by the present limits.
        """
        place, record = frame[:PLACE_BYTES], frame[PLACE_BYTES:]
        ((merchant_id, event),) = self._fold(record)
        if not merchant_id:
            raise refused(record)
        return encode_keyed(merchant_id, place + event)
