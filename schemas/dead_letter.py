"""A dead letter: an invalid record, with headers that say why and where it came from.

Key, value, timestamp and headers of the record are kept. The headers of this module are added,
under Kafka Connect's names, so that existing tools can read them. ``shortened_dead_letter.py``
makes one smaller that is too large for its topic. The velocity job and the scorer write dead
letters; parity reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from schemas.fields import NotNegative, Text
from schemas.topics import Headers, read_header

MESSAGE_LENGTH_MAX = 1_000
"""Longest message, in code points. A longer header could make the record too large to send."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The headers of one dead letter; each field is one header."""

    topic: Annotated[Text, "Topic it came from."]
    partition: Annotated[NotNegative, "Partition of that topic."]
    offset: Annotated[NotNegative, "Offset in that partition."]
    stage: Annotated[Text, "The processing step that refused the record."]
    exception_class: Annotated[Text, "Full name of the error's class."]
    exception_message: Annotated[str, "What is wrong, the value and the limit."]


HEADERS = {
    "topic": "__connect.errors.topic",
    "partition": "__connect.errors.partition",
    "offset": "__connect.errors.offset",
    "stage": "__connect.errors.stage",
    "exception_class": "__connect.errors.exception.class.name",
    "exception_message": "__connect.errors.exception.message",
}
"""Field of ``DeadLetter`` to the name of its header."""


def dead_letter_headers(
    *, topic: str, partition: int, offset: int, stage: str, error: Exception
) -> list[tuple[str, bytes]]:
    """Give the headers to add to a record that goes to the dead letters.

    Args:
        topic: topic of the record.
        partition: partition of the record.
        offset: offset of the record.
        stage: the processing step that refused the record, such as ``decode``.
        error: the reason. Its message is cut at 1,000 characters.

    Examples:
        >>> error = ValueError("too late")
        >>> dict(dead_letter_headers(
        ...     topic="labels", partition=0, offset=7, stage="decode", error=error
        ... ))["__connect.errors.exception.class.name"]
        b'builtins.ValueError'
    """
    kind = type(error)
    values = (
        topic,
        str(partition),
        str(offset),
        stage,
        f"{kind.__module__}.{kind.__qualname__}",
        str(error)[:MESSAGE_LENGTH_MAX],
    )
    # The message of a library's error may quote a lone surrogate, which UTF-8 cannot encode.
    encoded = (value.encode("utf-8", "backslashreplace") for value in values)
    return list(zip(HEADERS.values(), encoded, strict=True))


def read_dead_letter(headers: Headers | None) -> DeadLetter:
    """Read what ``dead_letter_headers`` wrote; of headers with one name the last one counts.

    Raises:
        ValueError: a header is missing, or partition or offset is not a number.
    """
    pairs = list(headers or ())
    texts = {name: _header_text(pairs, header) for name, header in HEADERS.items()}
    return DeadLetter(
        topic=texts["topic"],
        partition=int(texts["partition"]),
        offset=int(texts["offset"]),
        stage=texts["stage"],
        exception_class=texts["exception_class"],
        exception_message=texts["exception_message"],
    )


def _header_text(headers: Headers, name: str) -> str:
    value = read_header(headers, name)
    if value is None:
        raise ValueError(f"header {name} is missing; this is no dead letter of Weir")
    return value.decode("utf-8", "backslashreplace")
