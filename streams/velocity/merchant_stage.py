"""The merchant stage: folds transactions and labels by merchant and completes the feature row.

Decides nothing itself: ``schemas.codec`` validates labels, ``features.engine.state`` computes.
Called by ``operators.py`` (Flink), by the backfill and by tests.
"""

from typing import Any

import orjson

from features.definitions import DEFINITION_DIGEST
from features.engine.state import MerchantState
from features.on_demand import on_demand_features
from schemas import codec, topics
from schemas.errors import InvalidEventError
from schemas.feature_row import FeatureRow, Origin
from schemas.transaction import Transaction
from streams.velocity.journal import JournalStore
from streams.velocity.journal_entries import (
    encode_label_entry,
    encode_merchant_entry,
    replay_merchant_entry,
)
from streams.velocity.output_records import dead_letter, feature_record
from streams.velocity.record_frame import InboundRecord
from streams.velocity.stage import Stage, check_type, is_replay

_UNFINISHED = ord("{")
_DEAD_LETTER = ord("!")


class MerchantStage(Stage[MerchantState]):
    """Folds labels and transactions into the merchant's state; see `Stage`."""

    state_type = MerchantState

    def process(self, frame: bytes, store: JournalStore) -> bytes | None:
        """Complete a feature row, fold a label, or forward a dead letter.

        Args:
            frame: an element of the user stage without its key, or a record of ``labels``.
            store: the journal of the merchant.

        Returns:
            The frame of a record to produce, if any.
        """
        kind = frame[0]
        if kind == _UNFINISHED:
            return self._finish(orjson.loads(frame), store)
        if kind == _DEAD_LETTER:
            return frame[1:]
        return self._fold_label(InboundRecord.parse(frame), store)

    def replay_entry(self, state: MerchantState, entry: bytes) -> None:
        """See `Stage`."""
        replay_merchant_entry(state, entry)

    def _finish(self, unfinished: dict[str, Any], store: JournalStore) -> bytes:
        transaction = Transaction(**unfinished["transaction"])
        merchant_id = transaction.merchant_id
        event_time_ms = transaction.event_time_ms
        is_repeat = unfinished["repeat"]
        live = self.states.load(merchant_id, store)
        with self._state_lock:
            values = live.state.fold_transaction(
                transaction_id=transaction.transaction_id,
                event_time_ms=event_time_ms,
                is_repeat=is_repeat,
            )
            if not is_repeat:
                self._save(merchant_id, live, encode_merchant_entry(transaction), store)
        features = unfinished["features"]
        features.update(values.features)
        features.update(on_demand_features(event_time_ms))
        partition, offset, timestamp_ms = unfinished["origin"]
        row = FeatureRow(
            transaction=transaction,
            features=features,
            approximate=(*unfinished["approximate"], *values.approximate),
            definition_digest=DEFINITION_DIGEST,
            repeat=is_repeat,
            user_sequence=unfinished["user_sequence"],
            merchant_sequence=values.sequence,
            origin=Origin(partition=partition, offset=offset, timestamp_ms=timestamp_ms),
            computed_at_ms=self._clock_ms(),
        )
        return feature_record(row, is_replay=unfinished["is_replay"])

    def _fold_label(self, record: InboundRecord, store: JournalStore) -> bytes | None:
        try:
            check_type(record, expected=topics.LABEL_TYPE)
            label = codec.decode_label(
                record.value,
                limits=self._limits,
                now_ms=self._clock_ms(),
                is_replay=is_replay(record),
            )
        except InvalidEventError as error:
            return dead_letter(record, stage="decode", error=error)
        live = self.states.load(label.merchant_id, store)
        with self._state_lock:
            live.state.fold_label(label)
            self._save(label.merchant_id, live, encode_label_entry(label), store)
        return None
