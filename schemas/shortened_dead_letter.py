"""A dead letter that is too large for its topic: the largest parts give way to a description.

No record may be too large to be refused. A producer can send one that is: Kafka's limit applies to
the compressed bytes. The largest of key, headers and value is left out first, until the rest fits.
Headers say which parts are missing, their length, their SHA-256 and their first bytes; the headers
of ``dead_letter.py`` say where the whole record lies. The scorer calls this module;
``streams/jvm/weir/ShortenedRecord.java`` does the same for the velocity job, and
``LimitedRecord.java`` for parts of its input that are larger than ``topics.INPUT_BYTES_MAX``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from schemas.dead_letter import HEADERS
from schemas.errors import InvalidEventError
from schemas.topics import INPUT_BYTES_MAX, read_header

HEAD_BYTES_MAX: Final = 1_024
"""How many of its first bytes are kept of a part that is left out."""
LEFT_OUT_BYTES_MIN: Final = 256
"""A smaller part is never left out: its description would not be smaller."""
HEADERS_MAX: Final = 10_000
"""More headers are left out whatever their size: librdkafka reads a record with more than 100,000
as one without headers, which would then be no dead letter."""

HEADER_SHORTENED: Final = "weir-shortened"
PARTS: Final = ("key", "headers", "value")

SHORTENED_HEADERS: Final = {
    HEADER_SHORTENED: "The parts that were left out, of key, headers and value, with commas "
    "between; missing if the record is complete.",
    **{
        f"weir-{part}-{name}": text
        for part in PARTS
        for name, text in (
            ("length", f"Bytes of the {part}, if left out."),
            ("sha256", f"SHA-256 of the {part} in hexadecimal digits, if left out."),
            ("head", f"The first bytes of the {part}, if left out."),
        )
    },
}
"""What each header means; they are there only if something was left out."""

_NULL_LENGTH: Final = -1
_LENGTHS: Final = struct.Struct(">ii")
_BATCH_BYTES: Final = 61 + 21
"""Kafka's upper bound of what a batch and its record add to key, headers and value, bytes."""
_VARINT_BYTES: Final = 5
"""Longest length of a key, a value, a header's name or its value, bytes."""

Header = tuple[str, bytes | None]


class DeadLetterParts(NamedTuple):
    """A dead letter without topic and timestamp."""

    key: bytes | None
    headers: Sequence[Header]
    """Those that came with the record, then the reason, as ``dead_letter_headers`` gives it."""
    value: bytes | None


def record_size(record: DeadLetterParts) -> int:
    """Give an upper bound of what Kafka compares with ``max.message.bytes``, uncompressed."""
    headers = sum(
        2 * _VARINT_BYTES + len(name.encode()) + len(value or b"") for name, value in record.headers
    )
    lengths = _BATCH_BYTES + 3 * _VARINT_BYTES
    return lengths + headers + len(record.key or b"") + len(record.value or b"")


def shortened(record: DeadLetterParts, *, bytes_max: int) -> DeadLetterParts:
    """Leave out the largest parts until a dead letter fits; one that fits is given back unchanged.

    More than `HEADERS_MAX` headers do not fit.

    If that is not enough, the first bytes of the parts are left out as well. The result then has
    some hundred bytes and the reason; in a topic for even less, no dead letter fits.

    Args:
        record: with the reason.
        bytes_max: ``max.message.bytes`` of the topic of the dead letters.
    """
    if _fits(record, bytes_max):
        return record
    original, reason = record.headers[: -len(HEADERS)], record.headers[-len(HEADERS) :]
    parts = {
        "key": record.key or b"",
        "headers": encoded_headers(original),
        "value": record.value or b"",
    }
    first = "headers" if len(original) > HEADERS_MAX else None
    by_size = sorted(
        (part for part in PARTS if len(parts[part]) >= LEFT_OUT_BYTES_MIN),
        key=lambda part: (part != first, -len(parts[part])),
    )
    fitting = record
    for head_bytes_max in (HEAD_BYTES_MAX, 0):
        left_out: dict[str, bytes] = {}
        for part in by_size:
            left_out[part] = parts[part]
            fitting = DeadLetterParts(
                key=None if "key" in left_out else record.key,
                headers=[
                    *(() if "headers" in left_out else original),
                    *_description(left_out, head_bytes_max=head_bytes_max),
                    *reason,
                ],
                value=None if "value" in left_out else record.value,
            )
            if _fits(fitting, bytes_max):
                return fitting
    return fitting


def check_value_is_there(value: bytes | None, headers: Sequence[Header]) -> None:
    """Refuse a consumed record whose value was left out because of its size.

    Raises:
        InvalidEventError: there is no value, and the headers say that it was left out.
    """
    length = read_header(headers, "weir-value-length")
    if value is None and length is not None:
        count = length.decode("utf-8", "backslashreplace")
        raise InvalidEventError(None, f"has {count:.20} bytes, limit {INPUT_BYTES_MAX}")


def encoded_headers(headers: Sequence[Header]) -> bytes:
    """Give headers as the bytes that length, digest and head describe.

    For each header the lengths of its name and its value, 32 bits each, big-endian, -1 for null;
    then its name in UTF-8 and its value.
    """
    parts: list[bytes] = []
    for name, value in headers:
        name_bytes = name.encode()
        length = _NULL_LENGTH if value is None else len(value)
        parts += (_LENGTHS.pack(len(name_bytes), length), name_bytes, value or b"")
    return b"".join(parts)


def _fits(record: DeadLetterParts, bytes_max: int) -> bool:
    return len(record.headers) <= HEADERS_MAX + len(HEADERS) and record_size(record) <= bytes_max


def _description(left_out: dict[str, bytes], *, head_bytes_max: int) -> list[Header]:
    names = [part for part in PARTS if part in left_out]
    headers: list[Header] = [(HEADER_SHORTENED, ",".join(names).encode())]
    for part in names:
        content = left_out[part]
        headers += [
            (f"weir-{part}-length", b"%d" % len(content)),
            (f"weir-{part}-sha256", hashlib.sha256(content).hexdigest().encode()),
        ]
        if head_bytes_max:
            headers.append((f"weir-{part}-head", content[:head_bytes_max]))
    return headers
