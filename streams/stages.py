"""What the velocity job does with one record, free of Flink: decode, fold, hand on.

Two stages, one after the other: the user stage validates a transaction and folds it into its
user's state; the merchant stage folds it into its merchant's, folds labels, and completes the
feature row. Both decide nothing: what is valid is ``schemas.codec``'s, what a feature is is
``features.state``'s. Called by ``operators.py`` (Flink) and by the tests, with the same code.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import orjson

from features.definitions import DEFINITION_DIGEST
from features.on_demand import on_demand_features
from features.state import MerchantState, UserState, Values
from schemas import codec, topics
from schemas.dead_letter import dead_letter_headers
from schemas.errors import InvalidEventError
from schemas.feature_row import FeatureRow, Origin
from schemas.label import Label
from schemas.transaction import Limits, Transaction
from streams.journal import JournaledStates, JournalStore
from streams.record_text import (
    InboundRecord,
    encode_copy,
    encode_record,
)
from streams.redis_sink import OnlineSink

FIELD = "\x1f"
"""Between a key and its text, as ``SplitKey.java`` cuts it."""

_DEAD_LETTER = "!"
_LABEL_ENTRY = "L"
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

    def process(self, text: str, store: JournalStore) -> Iterator[str]:
        """Fold one record of ``transactions``.

        Args:
            text: the record as ``record_text`` frames it.
            store: the journal of the record's user.

        Yields:
            One text: the merchant's key, then either the unfinished row or a dead letter.
        """
        record = InboundRecord.parse(text)
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
            yield FIELD + _DEAD_LETTER + dead_letter(record, stage="decode", error=error)
            return
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
        key = _crossing(transaction.merchant_id)
        yield key + FIELD + orjson.dumps(unfinished).decode("latin-1")

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

    def process(self, text: str, store: JournalStore) -> Iterator[str]:
        """Finish a row, fold a label, or pass a dead letter on.

        Args:
            text: what the user stage emitted without its key, or a record of ``labels``.
            store: the journal of the merchant.

        Yields:
            The text of a record to produce, if any.
        """
        if text[0] == "{":
            yield self._finish(orjson.loads(text.encode("latin-1")), store)
        elif text[0] == _DEAD_LETTER:
            yield text[1:]
        else:
            yield from self._fold_label(InboundRecord.parse(text), store)

    def _finish(self, unfinished: dict[str, Any], store: JournalStore) -> str:
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

    def _fold_label(self, record: InboundRecord, store: JournalStore) -> Iterator[str]:
        try:
            _check_type(record, expected=topics.LABEL_TYPE)
            label = codec.decode_label(
                record.value,
                limits=self._limits,
                now_ms=self._clock_ms(),
                is_replay=_is_replay(record),
            )
        except InvalidEventError as error:
            yield dead_letter(record, stage="decode", error=error)
            return
        live = self.states.load(label.merchant_id, store)
        with _locked(self.sink):
            live.state.fold_label(label)
            self.states.record(live, _label_entry(label), store)
            if self.sink is not None:
                self.sink.mark(label.merchant_id, live.state)


def _is_replay(record: InboundRecord) -> bool:
    return record.may_have_header(topics.HEADER_REPLAY) and topics.is_replay(record.headers)


def _check_type(record: InboundRecord, *, expected: str) -> None:
    if record.may_have_header(topics.HEADER_TYPE) and not record.may_have_header(expected):
        topics.check_event_type(record.headers, expected=expected)


def dead_letter(record: InboundRecord, *, stage: str, error: Exception) -> str:
    """The record as it came, on its way to ``dead-letters`` with the reason in its headers."""
    headers = dead_letter_headers(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        stage=stage,
        error=error,
    )
    return encode_copy(record, topics.DEAD_LETTERS, headers)


def _feature_record(row: FeatureRow, *, is_replay: bool) -> str:
    headers = topics.cloud_event_headers(
        event_type=topics.FEATURE_ROW_TYPE,
        event_id=row.transaction.transaction_id,
        source=_SOURCE,
        time_ms=row.transaction.event_time_ms,
    )
    if is_replay:
        headers.append(topics.REPLAY_HEADER)
    return encode_record(
        topics.FEATURES,
        key=row.transaction.user_id.encode(),
        value=codec.encode_feature_row(row),
        headers=headers,
    )


_UNSHARED: AbstractContextManager[None] = nullcontext()


def _locked(sink: OnlineSink | None) -> AbstractContextManager[object]:
    """The sink's thread encodes states: nobody may fold into one meanwhile."""
    return _UNSHARED if sink is None else sink.lock


def _crossing(text: str) -> str:
    """UTF-8 read as ISO-8859-1, as the JVM side keys its records (``RecordText.java``)."""
    return text.encode().decode("latin-1")


def _user_entry(transaction: Transaction) -> str:
    return _crossing(
        FIELD.join(
            (
                transaction.transaction_id,
                transaction.merchant_id,
                str(transaction.amount_minor),
                str(transaction.event_time_ms),
            )
        )
    )


def _replay_user(state: UserState, entry: str) -> None:
    transaction_id, merchant_id, amount_minor, event_time_ms = _fields(entry)
    state.fold(
        transaction_id=transaction_id,
        merchant_id=merchant_id,
        amount_minor=int(amount_minor),
        event_time_ms=int(event_time_ms),
    )


def _merchant_entry(transaction: Transaction) -> str:
    return _crossing(FIELD.join(("T", transaction.transaction_id, str(transaction.event_time_ms))))


def _label_entry(label: Label) -> str:
    return _crossing(
        FIELD.join(
            (
                _LABEL_ENTRY,
                label.transaction_id,
                str(label.event_time_ms),
                str(label.observed_time_ms),
                "1" if label.is_fraud else "0",
                label.merchant_id,
            )
        )
    )


def _replay_merchant(state: MerchantState, entry: str) -> None:
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


def _fields(entry: str) -> list[str]:
    return entry.encode("latin-1").decode().split(FIELD)
