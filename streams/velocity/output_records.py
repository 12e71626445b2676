"""The records that the velocity job produces: feature rows and dead letters, as record frames.

Owns topic, key and headers of both; the values come from ``schemas.output_codec`` and from the
consumed record. Pure; called by the stages.
"""

from schemas import topics
from schemas.dead_letter import dead_letter_headers
from schemas.feature_row import FeatureRow
from schemas.output_codec import encode_feature_row
from streams.velocity.record_frame import (
    InboundRecord,
    encode_copy,
    encode_headers,
    encode_record,
)

_FEATURES = topics.FEATURES.encode()
_DEAD_LETTERS = topics.DEAD_LETTERS.encode()
_SOURCE = "/weir/streams"


def feature_record(row: FeatureRow, *, is_replay: bool) -> bytes:
    """The frame of a record of ``features``, keyed by the user."""
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
        value=encode_feature_row(row),
        headers_bytes=encode_headers(headers),
    )


def dead_letter(record: InboundRecord, *, stage: str, error: Exception) -> bytes:
    """The frame of a record of ``dead-letters``: ``record`` unchanged, the reason in headers added.

    Args:
        record: the record that cannot be processed.
        stage: the step that refused it.
        error: why.
    """
    headers = dead_letter_headers(
        topic=record.topic.decode(),
        partition=record.partition,
        offset=record.offset,
        stage=stage,
        error=error,
    )
    return encode_copy(record, _DEAD_LETTERS, headers)
