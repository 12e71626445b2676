"""Records of the feature log: rows that can be scored, or refused records.

Owns what the scorer accepts of the log, and the dead letter of a record that it refuses. The
engine reads the rows that look as the velocity job writes them, a batch at a time; the others are
decoded here, one by one. Knows neither Faust nor a model; `BatchScorer` calls it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.engine.rows import ReadRows, RowTexts, read_rows
from schemas.dead_letter import dead_letter_headers
from schemas.decision import Offset
from schemas.errors import InvalidEventError
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_feature_row
from schemas.shortened_dead_letter import DeadLetterParts, shortened
from schemas.topics import (
    FEATURE_ROW_TYPE,
    HEADER_REPLAY,
    HEADER_TYPE,
    RECORD_BYTES_MAX,
    REPLAY_HEADER,
    check_event_type,
)
from scoring.core.ports import OutgoingRecord, RecordPlace

STAGE = "score"
"""Name of this stage in the headers of dead letters."""
_FEATURE_NAMES = frozenset(FEATURE_NAMES)
_OWN_TYPE = FEATURE_ROW_TYPE.encode()
_REPLAY = REPLAY_HEADER[1]


class Record(NamedTuple):
    """A record of the feature log, as it was consumed."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


@dataclass(slots=True)
class Scorable:
    """A row that can be scored.

    Attributes:
        record: as it was consumed.
        place: its place in the log.
        at: its position among the rows that the engine has read.
        texts: of the row, if the engine has read it.
        is_replay: whether the row belongs to a replay.
    """

    record: Record
    place: Offset
    at: int
    texts: RowTexts | None
    is_replay: bool
    _row: FeatureRow | None = None

    @property
    def row(self) -> FeatureRow:
        """The row, decoded when it is first asked for."""
        if self._row is None:
            self._row = decode_feature_row(self.record.value)
        return self._row

    @property
    def user_id(self) -> bytes:
        """The user of the transaction."""
        if self.texts is not None:
            return self.texts.user_id
        return self.row.transaction.user_id.encode()

    @property
    def transaction_id(self) -> bytes:
        """The transaction."""
        if self.texts is not None:
            return self.texts.transaction_id
        return self.row.transaction.transaction_id.encode()

    @property
    def event(self) -> tuple[str, int]:
        """User and event time, ms since 1970 UTC."""
        if self.texts is not None:
            return self.texts.user_id.decode(), int(self.texts.event_time_ms)
        return self.row.transaction.user_id, self.row.transaction.event_time_ms


class ReadBatch(NamedTuple):
    """The records of a batch."""

    rows: ReadRows
    scorables: list[Scorable]
    """In log order."""
    refused: list[tuple[Record, InvalidEventError]]
    """In log order."""


def read_batch(records: Sequence[Record]) -> ReadBatch:
    """Read records; rows that the engine has read are decoded only when one is asked for."""
    rows = read_rows([record.value for record in records])
    taken = rows.taken()
    texts = dict(zip(taken, map(RowTexts._make, rows.texts(taken)), strict=True))
    scorables = []
    refused = []
    for at, record in enumerate(records):
        # The last header of a name counts, as for `schemas.topics.read_header`.
        headers = dict(record.headers)
        scorable = Scorable(
            record,
            Offset(record.partition, record.offset),
            at,
            texts.get(at),
            headers.get(HEADER_REPLAY) == _REPLAY,
        )
        try:
            if headers.get(HEADER_TYPE) != _OWN_TYPE:
                check_event_type(record.headers, expected=FEATURE_ROW_TYPE)
            if scorable.texts is None:
                _check_complete(scorable.row)
        except InvalidEventError as error:
            refused.append((record, error))
        else:
            scorables.append(scorable)
    return ReadBatch(rows, scorables, refused)


def dead_letter(record: Record, error: InvalidEventError, *, topic: str) -> OutgoingRecord:
    """The record, addressed to ``topic``, with the reason added to its headers.

    Unchanged, unless it is larger than any topic may accept (`schemas.shortened_dead_letter`).
    """
    reason = dead_letter_headers(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        stage=STAGE,
        error=error,
    )
    letter = shortened(
        DeadLetterParts(record.key, [*record.headers, *reason], record.value),
        bytes_max=RECORD_BYTES_MAX,
    )
    return OutgoingRecord(
        topic=topic,
        key=letter.key,
        value=letter.value,
        headers=list(letter.headers),
        timestamp_ms=record.timestamp_ms,
        source=RecordPlace(record.topic, record.partition, record.offset),
    )


def _check_complete(row: FeatureRow) -> None:
    # A row with our digest but without one of our features would fail in the model.
    if row.definition_digest == DEFINITION_DIGEST and not row.features.keys() >= _FEATURE_NAMES:
        missing = min(_FEATURE_NAMES - row.features.keys())
        raise InvalidEventError("features", f"lacks {missing} of the definitions it names")
