"""The user stage: validates transactions and folds each into the state of its user.

Decides nothing itself: ``schemas.codec`` validates, ``features.engine.state`` computes. The
merchant stage completes the feature row. Called by ``operators.py`` (Flink), by the backfill and
by tests.
"""

import orjson

from features.engine.state import UserState, Values
from schemas import codec, topics
from schemas.errors import InvalidEventError
from schemas.transaction import Transaction
from streams.velocity.journal import JournalStore
from streams.velocity.journal_entries import encode_user_entry, replay_user_entry
from streams.velocity.keyed_frame import encode_keyed
from streams.velocity.output_records import dead_letter
from streams.velocity.record_frame import InboundRecord
from streams.velocity.stage import Stage, check_type, is_replay


class UserStage(Stage[UserState]):
    """Validates transactions and folds each into its user's state; see `Stage`."""

    state_type = UserState

    def process(self, frame: bytes, store: JournalStore) -> bytes:
        """Fold one record of ``transactions``.

        Args:
            frame: the record as ``record_frame`` encodes it.
            store: the journal of the record's user.

        Returns:
            The merchant's id and an unfinished feature row as JSON, or an empty key and ``!`` with
            the frame of a dead letter; both as ``keyed_frame`` encodes them.
        """
        record = InboundRecord.parse(frame)
        replayed = is_replay(record)
        try:
            check_type(record, expected=topics.TRANSACTION_TYPE)
            transaction = codec.decode_transaction(
                record.value,
                limits=self._limits,
                now_ms=self._clock_ms(),
                is_replay=replayed,
            )
        except InvalidEventError as error:
            return encode_keyed("", b"!" + dead_letter(record, stage="decode", error=error))
        values = self._fold(transaction, store)
        unfinished = {
            "transaction": transaction.to_wire(),
            "features": values.features,
            "approximate": values.approximate,
            "repeat": values.repeat,
            "user_sequence": values.sequence,
            "origin": [record.partition, record.offset, record.timestamp_ms],
            "is_replay": replayed,
        }
        return encode_keyed(transaction.merchant_id, orjson.dumps(unfinished))

    def replay_entry(self, state: UserState, entry: bytes) -> None:
        """See `Stage`."""
        replay_user_entry(state, entry)

    def _fold(self, transaction: Transaction, store: JournalStore) -> Values:
        user_id = transaction.user_id
        live = self.states.load(user_id, store)
        with self._state_lock:
            values = live.state.fold(
                transaction_id=transaction.transaction_id,
                merchant_id=transaction.merchant_id,
                amount_minor=transaction.amount_minor,
                event_time_ms=transaction.event_time_ms,
            )
            if not values.repeat:
                self._save(user_id, live, encode_user_entry(transaction), store)
        return values
