"""What the velocity job does with one record, free of Flink: decode, fold, hand on.

Two stages, one after the other: the user stage validates a transaction and folds it into its
user's state; the merchant stage folds it into its merchant's, folds labels, and completes the
feature row. Both decide nothing: what is valid is ``schemas.codec``'s, what a feature is is
``features.engine.state``'s. Called by ``operators.py`` (Flink) and by the tests.
"""

import struct
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import orjson

from features.definitions import DEFINITION_DIGEST
from features.engine.state import MerchantState, UserState, Values
from features.on_demand import on_demand_features
from schemas import codec, output_codec, topics
from schemas.dead_letter import dead_letter_headers
from schemas.errors import InvalidEventError
from schemas.feature_row import FeatureRow, Origin
from schemas.label import Label
from schemas.transaction import Limits, Transaction
from streams.velocity.journal import JournaledStates, JournalStore
from streams.velocity.record_frame import (
    InboundRecord,
    encode_copy,
    encode_headers,
    encode_record,
)
from streams.velocity.redis_sink import OnlineSink

_FIELD = "\x1f"
"""Between the fields of a journal entry; no id has a control character."""
_KEY_LENGTH = struct.Struct(">H")
_UNFINISHED = ord("{")
_DEAD_LETTER = ord("!")
_TRANSACTION_ENTRY = "T"
_LABEL_ENTRY = "L"

_REPLAY = topics.HEADER_REPLAY.encode()
_TYPE = topics.HEADER_TYPE.encode()
_FEATURES = topics.FEATURES.encode()
_DEAD_LETTERS = topics.DEAD_LETTERS.encode()
_SOURCE = "/weir/streams"


class UserStage:
    """Validates transactions and folds each into its user's state.

    Args:
        limits: what this deployment accepts.
        live_keys_max: how many states are kept in memory.
        clock_ms: the wall clock, ms since 1970 UTC; only for refusing times in the future.
        sink: where changed states are marked; None keeps them out of Redis.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        live_keys_max: int,
        clock_ms: Callable[[], int],
        sink: OnlineSink | None,
    ) -> None:
        self._limits = limits
        self._clock_ms = clock_ms
        self.sink = sink
        self.states: JournaledStates[UserState] = JournaledStates(
            new=UserState,
            decode=UserState.decode,
            replay=_replay_user,
            live_keys_max=live_keys_max,
        )

    def process(self, frame: bytes, store: JournalStore) -> bytes:
        """Fold one record of ``transactions``.

        Args:
            frame: the record as ``record_frame`` frames it.
            store: the journal of the record's user.

        Returns:
            The merchant's key behind its length as ``>H``, then either the unfinished row as
            JSON or ``!`` and the frame of a dead letter.
        """
        record = InboundRecord.parse(frame)
        is_replay = _is_replay(record)
        try:
            _check_type(record, expected=topics.TRANSACTION_TYPE)
            transaction = codec.decode_transaction(
                record.value,
                limits=self._limits,
                now_ms=self._clock_ms(),
                is_replay=is_replay,
            )
        except InvalidEventError as error:
            return _keyed("", b"!" + dead_letter(record, stage="decode", error=error))
        values = self._fold(transaction, store)
        unfinished = {
            "transaction": transaction.to_wire(),
            "features": values.features,
            "approximate": values.approximate,
            "repeat": values.repeat,
            "user_sequence": values.sequence,
            "origin": [record.partition, record.offset, record.timestamp_ms],
            "is_replay": is_replay,
        }
        return _keyed(transaction.merchant_id, orjson.dumps(unfinished))

    def _fold(self, transaction: Transaction, store: JournalStore) -> Values:
        user_id = transaction.user_id
        live = self.states.load(user_id, store)
        with _locked(self.sink):
            values = live.state.fold(
                transaction_id=transaction.transaction_id,
                merchant_id=transaction.merchant_id,
                amount_minor=transaction.amount_minor,
                event_time_ms=transaction.event_time_ms,
            )
            if not values.repeat:
                self.states.record(live, _user_entry(transaction), store)
                if self.sink is not None:
                    self.sink.mark(user_id, live.state)
        return values


class MerchantStage:
    """Folds labels and transactions into the merchant's state and completes the feature row.

    Args:
        limits: what this deployment accepts.
        live_keys_max: how many states are kept in memory.
        clock_ms: the wall clock, ms since 1970 UTC.
        sink: where changed states are marked; None keeps them out of Redis.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        live_keys_max: int,
        clock_ms: Callable[[], int],
        sink: OnlineSink | None,
    ) -> None:
        self._limits = limits
        self._clock_ms = clock_ms
        self.sink = sink
        self.states: JournaledStates[MerchantState] = JournaledStates(
            new=MerchantState,
            decode=MerchantState.decode,
            replay=_replay_merchant,
            live_keys_max=live_keys_max,
        )

    def process(self, frame: bytes, store: JournalStore) -> bytes | None:
        """Finish a row, fold a label, or pass a dead letter on.

        Args:
            frame: what the user stage emitted without its key, or a record of ``labels``.
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

    def _finish(self, unfinished: dict[str, Any], store: JournalStore) -> bytes:
        transaction = Transaction(**unfinished["transaction"])
        merchant_id = transaction.merchant_id
        event_time_ms = transaction.event_time_ms
        is_repeat = unfinished["repeat"]
        live = self.states.load(merchant_id, store)
        with _locked(self.sink):
            values = live.state.fold_transaction(
                transaction_id=transaction.transaction_id,
                event_time_ms=event_time_ms,
                is_repeat=is_repeat,
            )
            if not is_repeat:
                self.states.record(live, _merchant_entry(transaction), store)
                if self.sink is not None:
                    self.sink.mark(merchant_id, live.state)
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
        return _feature_record(row, is_replay=unfinished["is_replay"])

    def _fold_label(self, record: InboundRecord, store: JournalStore) -> bytes | None:
        try:
            _check_type(record, expected=topics.LABEL_TYPE)
            label = codec.decode_label(
                record.value,
                limits=self._limits,
                now_ms=self._clock_ms(),
                is_replay=_is_replay(record),
            )
        except InvalidEventError as error:
            return dead_letter(record, stage="decode", error=error)
        live = self.states.load(label.merchant_id, store)
        with _locked(self.sink):
            live.state.fold_label(label)
            self.states.record(live, _label_entry(label), store)
            if self.sink is not None:
                self.sink.mark(label.merchant_id, live.state)
        return None


def _is_replay(record: InboundRecord) -> bool:
    return record.may_have_header(_REPLAY) and topics.is_replay(record.headers)


def _check_type(record: InboundRecord, *, expected: str) -> None:
    if record.may_have_header(_TYPE) and not record.may_have_header(expected.encode()):
        topics.check_event_type(record.headers, expected=expected)


def dead_letter(record: InboundRecord, *, stage: str, error: Exception) -> bytes:
    """The record as it came, on its way to ``dead-letters`` with the reason in its headers."""
    headers = dead_letter_headers(
        topic=record.topic.decode(),
        partition=record.partition,
        offset=record.offset,
        stage=stage,
        error=error,
    )
    return encode_copy(record, _DEAD_LETTERS, headers)


def _keyed(key: str, rest: bytes) -> bytes:
    """As ``UserFold.java`` takes it apart."""
    key_bytes = key.encode()
    return _KEY_LENGTH.pack(len(key_bytes)) + key_bytes + rest


def _feature_record(row: FeatureRow, *, is_replay: bool) -> bytes:
    headers = topics.cloud_event_headers(
        event_type=topics.FEATURE_ROW_TYPE,
        event_id=row.transaction.transaction_id,
        source=_SOURCE,
        time_ms=row.transaction.event_time_ms,
    )
    if is_replay:
        headers.append(topics.REPLAY_HEADER)
    return encode_record(
        _FEATURES,
        key=row.transaction.user_id.encode(),
        value=output_codec.encode_feature_row(row),
        headers_bytes=encode_headers(headers),
    )


_UNSHARED: AbstractContextManager[None] = nullcontext()


def _locked(sink: OnlineSink | None) -> AbstractContextManager[object]:
    """The sink's thread encodes states: nobody may fold into one meanwhile."""
    return _UNSHARED if sink is None else sink.lock


def _user_entry(transaction: Transaction) -> bytes:
    return _FIELD.join(
        (
            transaction.transaction_id,
            transaction.merchant_id,
            str(transaction.amount_minor),
            str(transaction.event_time_ms),
        )
    ).encode()


def _replay_user(state: UserState, entry: bytes) -> None:
    transaction_id, merchant_id, amount_minor, event_time_ms = _fields(entry)
    state.fold(
        transaction_id=transaction_id,
        merchant_id=merchant_id,
        amount_minor=int(amount_minor),
        event_time_ms=int(event_time_ms),
    )


def _merchant_entry(transaction: Transaction) -> bytes:
    return _FIELD.join(
        (_TRANSACTION_ENTRY, transaction.transaction_id, str(transaction.event_time_ms))
    ).encode()


def _label_entry(label: Label) -> bytes:
    return _FIELD.join(
        (
            _LABEL_ENTRY,
            label.transaction_id,
            str(label.event_time_ms),
            str(label.observed_time_ms),
            "1" if label.is_fraud else "0",
            label.merchant_id,
        )
    ).encode()


def _replay_merchant(state: MerchantState, entry: bytes) -> None:
    kind, transaction_id, event_time_ms, *label = _fields(entry)
    if kind == _LABEL_ENTRY:
        observed_time_ms, is_fraud, merchant_id = label
        state.fold_label(
            Label(
                transaction_id=transaction_id,
                merchant_id=merchant_id,
                event_time_ms=int(event_time_ms),
                observed_time_ms=int(observed_time_ms),
                is_fraud=is_fraud == "1",
            )
        )
    else:
        state.fold_transaction(
            transaction_id=transaction_id, event_time_ms=int(event_time_ms), is_repeat=False
        )


def _fields(entry: bytes) -> list[str]:
    return entry.decode().split(_FIELD)
