"""A dead letter: a record that will never work, with headers that say why and where from.

Key, value, timestamp and headers stay as they came; these headers are added, under
Kafka Connect's names, so that the tools people have can read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from schemas.fields import NotNegative, Text
from schemas.topics import Headers, read_header

MESSAGE_LENGTH_MAX = 1_000
"""Longest message, in code points: a header must not make the record too large to send."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What the headers of one dead letter say, each field one header."""

    topic: Annotated[Text, "Topic it came from."]
    partition: Annotated[NotNegative, "Partition of that topic."]
    offset: Annotated[NotNegative, "Offset in that partition."]
    stage: Annotated[Text, "The step that refused it."]
    exception_class: Annotated[Text, "Full name of the error's class."]
    exception_message: Annotated[str, "What was wrong, the value and the limit."]


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
        topic: where the record came from.
        partition: its partition there.
        offset: its offset there.
        stage: the step that refused it, such as ``velocity_job.decode``.
        error: why. Its message is cut at 1,000 characters.

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
    # An error of somebody else may quote a lone surrogate, which UTF-8 cannot hold.
    encoded = (value.encode("utf-8", "backslashreplace") for value in values)
    return list(zip(HEADERS.values(), encoded, strict=True))


def read_dead_letter(headers: Headers | None) -> DeadLetter:
    """Read back what ``dead_letter_headers`` wrote, the last of each name.

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
        raise ValueError(f"header {name} is missing; not a dead letter of Weir")
    return value.decode("utf-8", "backslashreplace")
