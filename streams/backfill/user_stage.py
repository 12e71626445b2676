"""The user stage of the backfill: transactions to unfinished feature rows.

Folds with the velocity job's `UserStage`; adds the position that each frame carries. Opened by
``operators.py``.
"""

from streams.backfill.frames import PLACE_BYTES
from streams.backfill.stage import NO_JOURNAL, BackfillStage, refused
from streams.velocity.keyed_frame import NO_KEY, frame_position
from streams.velocity.user_stage import UserStage


class UserBackfill(BackfillStage[UserStage]):
    """Turns transactions into unfinished rows and keeps the position in front of each."""

    stage_type = UserStage

    def process(self, key: str, frame: bytes) -> bytes:  # noqa: ARG002 - the merchant stage uses it
        """Fold one transaction.

        Raises:
            RefusedRecordError: the transaction is not valid by the present limits.
        """
        place, record = frame[:PLACE_BYTES], frame[PLACE_BYTES:]
        answer = self._stage.process(record, NO_JOURNAL)
        if answer.startswith(NO_KEY):
            raise refused(record)
        at = frame_position(answer)
        return answer[:at] + place + answer[at:]
