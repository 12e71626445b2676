"""One Kafka record as one line of text: how records cross between the JVM and Python.

The twin of ``streams/jvm/weir/RecordText.java``, which says why. Owns the framing only; it
knows no topic and no schema. Called once for every event on the way in and on the way out.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass

_FIELD = "\x1f"
_HEADER = "\x1e"
_NAME = "\x1d"
Headers = Iterable[tuple[str, bytes | None]]

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class InboundRecord:
    """A consumed record. Key, headers and value stay in their text form until asked for.

    Attributes:
        topic: topic name.
        partition: partition of the topic.
        offset: offset in the partition.
        timestamp_ms: the record's Kafka timestamp, ms since 1970 UTC.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key_text: str
    headers_text: str
    value_text: str

    @classmethod
    def parse(cls, text: str) -> "InboundRecord":
        """Read what ``RecordText.encode`` wrote.

        Raises:
            ValueError: the text does not have seven fields.
        """
        topic, partition, offset, timestamp, key, headers, value = text.split(_FIELD, 6)
        return cls(topic, int(partition), int(offset), int(timestamp), key, headers, value)

    @property
    def value(self) -> bytes | None:
        """The bytes as they came; None for a tombstone."""
        return decode_blob(self.value_text)

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        """All headers in their order."""
        return decode_headers(self.headers_text)

    def may_have_header(self, name: str) -> bool:
        """False when there is surely no such header: spares the parsing of the others."""
        return name in self.headers_text


def encode_record(
    topic: str,
    *,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    timestamp_ms: int | None = None,
) -> str:
    """The text of a record to produce; without a timestamp Kafka's client sets its own."""
    return _join(topic, timestamp_ms, encode_blob(key), encode_headers(headers), encode_blob(value))


def encode_copy(
    record: InboundRecord, topic: str, headers: Iterable[tuple[str, bytes | None]]
) -> str:
    """The text of ``record`` sent on to ``topic``, byte for byte, with ``headers`` added."""
    return _join(
        topic,
        record.timestamp_ms,
        record.key_text,
        record.headers_text + encode_headers(headers),
        record.value_text,
    )


def encode_headers(headers: Headers) -> str:
    """Headers as text; order and repeats are kept."""
    return "".join(
        f"{encode_blob(name.encode())}{_NAME}{encode_blob(value)}{_HEADER}"
        for name, value in headers
    )


def decode_headers(text: str) -> list[tuple[str, bytes | None]]:
    """The inverse of :func:`encode_headers`."""
    pairs = (pair.split(_NAME, 1) for pair in text.split(_HEADER)[:-1])
    return [((decode_blob(name) or b"").decode(), decode_blob(value)) for name, value in pairs]


def encode_blob(data: bytes | None) -> str:
    r"""Bytes as text that survives JNI.

    Examples:
        >>> encode_blob(None), encode_blob("é".encode()), encode_blob(b"\x00")
        ('-', '=Ã©', '~AA==')
    """
    if data is None:
        return "-"
    if _CONTROL.search(data):
        return "~" + base64.b64encode(data).decode("ascii")
    return "=" + data.decode("latin-1")


def decode_blob(text: str) -> bytes | None:
    """The inverse of :func:`encode_blob`.

    Raises:
        ValueError: the text starts with none of ``-``, ``=`` and ``~``.
    """
    kind = text[:1]
    if kind == "=":
        return text[1:].encode("latin-1")
    if kind == "-":
        return None
    if kind == "~":
        return base64.b64decode(text[1:])
    raise ValueError(f"a blob starts with -, = or ~, not {kind!r}")


def _join(topic: str, timestamp_ms: int | None, key: str, headers: str, value: str) -> str:
    timestamp = "" if timestamp_ms is None else str(timestamp_ms)
    return (
        f"{topic}{_FIELD}{_FIELD}{_FIELD}{timestamp}{_FIELD}{key}{_FIELD}{headers}{_FIELD}{value}"
    )
