"""Records of the feature log: rows that can be scored, or refused records.

Owns what the scorer accepts of the log, and the dead letter of a record that it refuses. The
engine reads the rows that look as the velocity job writes them, a batch at a time; the others are
decoded here, one by one. Knows neither Faust nor a model; `BatchScorer` calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.engine.rows import ReadRows, RowKeys, read_rows
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
    cloud_event_headers,
    passed_on,
)
from scoring.core.ports import OutgoingRecord

STAGE = "score"
"""Name of this stage in the headers of dead letters."""
_FEATURE_NAMES = frozenset(FEATURE_NAMES)
_OWN_TYPE = FEATURE_ROW_TYPE.encode()
_REPLAY = REPLAY_HEADER[1]
_NOT_OF_DECISIONS = frozenset(
    name for name, _ in cloud_event_headers(event_type="", event_id="", source="", time_ms=0)
)
"""Headers of a row that say nothing about its decision."""


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
        at: its position among the rows that the engine has read.
        transaction_id: the transaction.
        user_id: its user.
        is_read: whether the engine has read the row.
        more_headers: what a decision about it has, too: the mark of a replay, the trace context.
    """

    record: Record
    at: int
    transaction_id: bytes
    user_id: bytes
    is_read: bool
    more_headers: Sequence[tuple[str, bytes]] = ()
    _row: FeatureRow | None = None

    @property
    def place(self) -> Offset:
        """Its place in the log."""
        return Offset(self.record.partition, self.record.offset)

    @property
    def is_replay(self) -> bool:
        """Whether the row belongs to a replay."""
        return REPLAY_HEADER in self.more_headers

    @property
    def row(self) -> FeatureRow:
        """The row, decoded when it is first asked for."""
        if self._row is None:
            self._row = decode_feature_row(self.record.value)
        return self._row


class ReadBatch(NamedTuple):
    """The records of a batch."""

    rows: ReadRows
    scorables: list[Scorable]
    """In log order."""
    refused: list[tuple[Record, InvalidEventError]]
    """In log order."""

    def events(self) -> list[tuple[str, int]]:
        """Give user and event time, ms since 1970 UTC, of each scorable row."""
        read = iter(self.rows.wanted([each.at for each in self.scorables if each.is_read]))
        times = [
            int(RowKeys._make(next(read)).event_time_ms)
            if each.is_read
            else each.row.transaction.event_time_ms
            for each in self.scorables
        ]
        return [(each.user_id.decode(), ms) for each, ms in zip(self.scorables, times, strict=True)]


def read_batch(records: Sequence[Record]) -> ReadBatch:
    """Read records; rows that the engine has read are decoded only when one is asked for."""
    rows = read_rows([record.value for record in records])
    taken = rows.taken()
    keys = dict(zip(taken, rows.wanted(taken), strict=True))
    scorables = []
    refused = []
    for at, record in enumerate(records):
        # The last header of a name counts, as for `schemas.topics.read_header`.
        headers = dict(record.headers)
        try:
            if headers.get(HEADER_TYPE) != _OWN_TYPE:
                check_event_type(record.headers, expected=FEATURE_ROW_TYPE)
            found = keys.get(at)
            scorable = (
                Scorable(record, at, found[0], found[1], is_read=True)
                if found is not None
                else _decoded(record, at)
            )
        except InvalidEventError as error:
            refused.append((record, error))
            continue
        if not _NOT_OF_DECISIONS.issuperset(headers):
            scorable.more_headers = _more_headers(headers)
        scorables.append(scorable)
    return ReadBatch(rows, scorables, refused)


def _decoded(record: Record, at: int) -> Scorable:
    row = decode_feature_row(record.value)
    _check_complete(row)
    of = row.transaction
    ids = of.transaction_id.encode(), of.user_id.encode()
    return Scorable(record, at, *ids, is_read=False, _row=row)


def _more_headers(headers: Mapping[str, bytes | None]) -> list[tuple[str, bytes]]:
    replay = [REPLAY_HEADER] if headers.get(HEADER_REPLAY) == _REPLAY else []
    return [*replay, *passed_on(list(headers.items()))]


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
        source=record,
    )


def _check_complete(row: FeatureRow) -> None:
    # A row with our digest but without one of our features would fail in the model.
    if row.definition_digest == DEFINITION_DIGEST and not row.features.keys() >= _FEATURE_NAMES:
        missing = min(_FEATURE_NAMES - row.features.keys())
        raise InvalidEventError("features", f"lacks {missing} of the definitions it names")
