"""One Kafka record as one byte array: how records cross between the JVM and Python.

``streams/jvm/weir/RecordFrame.java`` has the same layout and documents it. Owns the framing only;
knows no topic and no schema. The stages decode one frame and encode one frame for an event.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

_MAGIC = b"R"
_HEAD = struct.Struct(">cIqqiiii")
_HEADER = struct.Struct(">ii")
_NULL = -1
_NO_PARTITION = 0xFFFFFFFF
_NO_OFFSET = -1

Headers = Iterable[tuple[str, bytes | None]]


class InboundRecord(NamedTuple):
    """A consumed record; its headers are decoded on demand.

    Attributes:
        topic: topic name, UTF-8.
        partition: partition of the topic.
        offset: offset in the partition.
        timestamp_ms: the record's Kafka timestamp, ms since 1970 UTC; -1 if it has none.
        key: the key, unchanged; None if the record has none.
        headers_bytes: the headers as ``encode_headers`` encodes them.
        value: the value, unchanged; None for a tombstone.
    """

    topic: bytes
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers_bytes: bytes
    value: bytes | None

    @classmethod
    def parse(cls, frame: bytes) -> "InboundRecord":
        """Decode what ``RecordFrame.encode`` encoded.

        Raises:
            ValueError: the bytes are not a record frame, or its lengths do not add up.
        """
        try:
            magic, partition, offset, timestamp_ms, *lengths = _HEAD.unpack_from(frame)
        except struct.error:
            raise ValueError(
                f"a record frame has at least {_HEAD.size} bytes, this one has {len(frame)}"
            ) from None
        topic_length, key_length, headers_length, value_length = lengths
        key_at = _HEAD.size + topic_length
        headers_at = key_at + max(key_length, 0)
        value_at = headers_at + headers_length
        end = value_at + max(value_length, 0)
        if magic != _MAGIC or end != len(frame):
            raise ValueError(
                f"a record frame begins with {_MAGIC!r} and has {end} bytes by its own lengths; "
                f"this one begins with {magic!r} and has {len(frame)} bytes"
            )
        return cls(
            frame[_HEAD.size : key_at],
            partition,
            offset,
            timestamp_ms,
            None if key_length == _NULL else frame[key_at:headers_at],
            frame[headers_at:value_at],
            None if value_length == _NULL else frame[value_at:],
        )

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        """All headers in order."""
        return decode_headers(self.headers_bytes)

    def may_have_header(self, name: bytes) -> bool:
        """A cheap test before `headers`: False means that the record has no such header."""
        return name in self.headers_bytes


def encode_record(
    topic: bytes,
    *,
    key: bytes | None,
    value: bytes | None,
    headers_bytes: bytes,
    timestamp_ms: int = -1,
    partition: int = _NO_PARTITION,
    offset: int = _NO_OFFSET,
) -> bytes:
    """The frame of a record to produce; without a timestamp the Kafka client sets one.

    With partition and offset it is the frame of a consumed record; the backfill makes those.
    """
    head = _HEAD.pack(
        _MAGIC,
        partition,
        offset,
        timestamp_ms,
        len(topic),
        _NULL if key is None else len(key),
        len(headers_bytes),
        _NULL if value is None else len(value),
    )
    return b"".join((head, topic, key or b"", headers_bytes, value or b""))


def encode_copy(record: InboundRecord, topic: bytes, headers: Headers) -> bytes:
    """The frame of ``record`` forwarded to ``topic``: unchanged, with ``headers`` added."""
    return encode_record(
        topic,
        key=record.key,
        value=record.value,
        headers_bytes=record.headers_bytes + encode_headers(headers),
        timestamp_ms=record.timestamp_ms,
    )


def encode_headers(headers: Headers) -> bytes:
    """Encode headers; order and duplicates are kept."""
    parts: list[bytes] = []
    pack = _HEADER.pack
    for name, value in headers:
        name_bytes = name.encode()
        if value is None:
            parts += (pack(len(name_bytes), _NULL), name_bytes)
        else:
            parts += (pack(len(name_bytes), len(value)), name_bytes, value)
    return b"".join(parts)


def decode_headers(data: bytes) -> list[tuple[str, bytes | None]]:
    """Decode what :func:`encode_headers` encoded."""
    headers: list[tuple[str, bytes | None]] = []
    at = 0
    while at < len(data):
        name_length, value_length = _HEADER.unpack_from(data, at)
        name_at = at + _HEADER.size
        value_at = name_at + name_length
        at = value_at + max(value_length, 0)
        value = None if value_length == _NULL else data[value_at:at]
        headers.append((data[name_at:value_at].decode(), value))
    return headers
