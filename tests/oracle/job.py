"""The velocity job in plain Python: records in, records to produce out, one at a time.

Validation, headers and the encoding of rows are those of production; every value comes from the
states of this package. Keeps all states in memory. The tests compare the job on the native engine
with it, byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from features.definitions import CAPS, DEFINITION_DIGEST, Caps
from features.engine.wire import ROW_SOURCE
from features.on_demand import on_demand_features
from schemas import codec, topics
from schemas.errors import InvalidEventError
from schemas.feature_row import FeatureRow, Origin
from schemas.output_codec import encode_feature_row
from schemas.transaction import Limits, Transaction
from streams.velocity.dead_letter import dead_letter
from streams.velocity.record_frame import InboundRecord, encode_headers, encode_record
from tests.oracle.identity import Content
from tests.oracle.merchant_state import MerchantState
from tests.oracle.user_state import UserState

_LABELS = topics.LABELS.encode()
_FEATURES = topics.FEATURES.encode()
_REST = ("currency", "device_type", "ip_country")
"""The fields of a transaction that its user's state only remembers."""


class Job:
    """All stages of the velocity job.

    Args:
        limits: what this deployment accepts.
        now_ms: the wall clock, ms since 1970 UTC; it stands still.
        caps: limits of one key's state.

    Attributes:
        users: the state of each user.
        merchants: the state of each merchant.
    """

    def __init__(self, *, limits: Limits, now_ms: int, caps: Caps = CAPS) -> None:
        self._limits = limits
        self._now_ms = now_ms
        self.users = defaultdict[str, UserState](lambda: UserState(caps=caps))
        self.merchants = defaultdict[str, MerchantState](lambda: MerchantState(caps=caps))

    def process(self, frame: bytes) -> bytes | None:
        """Process one record of ``transactions`` or ``labels``.

        Returns:
            The frame of the record to produce: a feature row or a dead letter. None for a label.
        """
        record = InboundRecord.parse(frame)
        is_replay = topics.is_replay(record.headers)
        try:
            if record.topic == _LABELS:
                self._fold_label(record, is_replay=is_replay)
                return None
            transaction = self._transaction(record, is_replay=is_replay)
        except InvalidEventError as error:
            return dead_letter(record, stage="decode", error=error)
        row = self._row(transaction, Origin(record.partition, record.offset, record.timestamp_ms))
        return _framed(row, is_replay=is_replay, passed_on=topics.passed_on(record.headers))

    def _transaction(self, record: InboundRecord, *, is_replay: bool) -> Transaction:
        topics.check_event_type(record.headers, expected=topics.TRANSACTION_TYPE)
        return codec.decode_transaction(
            record.value,
            limits=self._limits,
            now_ms=self._now_ms,
            is_replay=is_replay,
            record_ms=record.timestamp_ms,
        )

    def _fold_label(self, record: InboundRecord, *, is_replay: bool) -> None:
        topics.check_event_type(record.headers, expected=topics.LABEL_TYPE)
        label = codec.decode_label(
            record.value, limits=self._limits, now_ms=self._now_ms, is_replay=is_replay
        )
        self.merchants[label.merchant_id].fold_label(label)

    def _row(self, transaction: Transaction, origin: Origin) -> FeatureRow:
        user = self.users[transaction.user_id]
        first = user.first(transaction.transaction_id)
        if first is not None:
            transaction = _with_content(transaction, first)
        of_user = user.fold(
            rest=tuple(getattr(transaction, name) for name in _REST),
            transaction_id=transaction.transaction_id,
            merchant_id=transaction.merchant_id,
            amount_minor=transaction.amount_minor,
            event_time_ms=transaction.event_time_ms,
        )
        of_merchant = self.merchants[transaction.merchant_id].fold_transaction(
            transaction_id=transaction.transaction_id,
            event_time_ms=transaction.event_time_ms,
            is_repeat=of_user.repeat,
        )
        return FeatureRow(
            transaction=transaction,
            features={
                **of_user.features,
                **of_merchant.features,
                **on_demand_features(transaction.event_time_ms),
            },
            approximate=(*of_user.approximate, *of_merchant.approximate),
            definition_digest=DEFINITION_DIGEST,
            repeat=of_user.repeat,
            user_sequence=of_user.sequence,
            merchant_sequence=of_merchant.sequence,
            origin=origin,
            computed_at_ms=self._now_ms,
        )


def _with_content(transaction: Transaction, first: Content) -> Transaction:
    return replace(
        transaction,
        merchant_id=first.merchant_id,
        amount_minor=first.amount_minor,
        event_time_ms=first.event_time_ms,
        **dict(zip(_REST, first.rest, strict=True)),
    )


def _framed(row: FeatureRow, *, is_replay: bool, passed_on: Sequence[tuple[str, bytes]]) -> bytes:
    transaction = row.transaction
    headers = topics.cloud_event_headers(
        event_type=topics.FEATURE_ROW_TYPE,
        event_id=transaction.transaction_id,
        source=ROW_SOURCE,
        time_ms=transaction.event_time_ms,
    )
    if is_replay:
        headers.append(topics.REPLAY_HEADER)
    headers += passed_on
    return encode_record(
        _FEATURES,
        key=transaction.user_id.encode(),
        value=encode_feature_row(row),
        headers_bytes=encode_headers(headers),
    )
