"""Records of the feature log: decoded into rows that can be scored, or refused.

Owns what the scorer accepts of the log, and the dead letter of a record that it refuses. Knows
neither Faust nor a model; `BatchScorer` calls it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas.dead_letter import dead_letter_headers
from schemas.decision import Offset
from schemas.errors import InvalidEventError
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_feature_row
from schemas.shortened_dead_letter import DeadLetterParts, shortened
from schemas.topics import FEATURE_ROW_TYPE, RECORD_BYTES_MAX, check_event_type, is_replay
from scoring.core.ports import OutgoingRecord, RecordPlace

STAGE = "score"
"""Name of this stage in the headers of dead letters."""
_FEATURE_NAMES = frozenset(FEATURE_NAMES)


class Record(NamedTuple):
    """A record of the feature log, as it was consumed."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Scorable(NamedTuple):
    """A decoded feature row and its position in the log."""

    row: FeatureRow
    offset: Offset
    is_replay: bool


def decode_records(
    records: Iterable[Record],
) -> tuple[list[Scorable], list[tuple[Record, InvalidEventError]]]:
    """Decode records; give the rows to score and the refused records, each in order."""
    scorables = []
    refused = []
    for record in records:
        try:
            check_event_type(record.headers, expected=FEATURE_ROW_TYPE)
            row = decode_feature_row(record.value)
            _check_complete(row)
        except InvalidEventError as error:
            refused.append((record, error))
        else:
            scorables.append(
                Scorable(row, Offset(record.partition, record.offset), is_replay(record.headers))
            )
    return scorables, refused


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
