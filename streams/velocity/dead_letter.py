"""The dead letter of a record that the velocity job refuses, as a record frame.

The record itself is unchanged; the reason is in added headers (``schemas.dead_letter``). Pure;
``engine.py`` calls it.
"""

from schemas import topics
from schemas.dead_letter import dead_letter_headers
from streams.velocity.record_frame import InboundRecord, encode_copy

_DEAD_LETTERS = topics.DEAD_LETTERS.encode()


def dead_letter(record: InboundRecord, *, stage: str, error: Exception) -> bytes:
    """Give the frame of a record of ``dead-letters``.

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
