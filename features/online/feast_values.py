"""Values in Redis as Feast writes them: serialised ``feast.types.Value`` and ``Timestamp``.

Writes and reads the few forms that Weir uses, without Feast and without protobuf, because the
velocity job runs where neither is installed. A contract test compares the bytes with Feast's own.
Called by `layout.py` and `batch_values.py`.
"""

from __future__ import annotations

import struct

from features.engine.values import FeatureValue

NULL_VALUE = b""
"""A ``feast.types.Value`` that is null."""

_MASK_64 = (1 << 64) - 1


def int64_value(value: int) -> bytes:
    """Serialise an integer as a ``feast.types.Value``.

    Examples:
        >>> int64_value(3).hex()
        '2003'
    """
    return b"\x20" + _varint(value & _MASK_64)


def double_value(value: float) -> bytes:
    """Serialise a double as a ``feast.types.Value``."""
    return b"\x29" + struct.pack("<d", value)


def bytes_value(value: bytes) -> bytes:
    """Serialise bytes as a ``feast.types.Value``.

    Examples:
        >>> bytes_value(bytes.fromhex("00ff")).hex()
        '0a0200ff'
    """
    return b"\x0a" + _varint(len(value)) + value


def timestamp_value(time_ms: int, *, extra_ns: int = 0) -> bytes:
    """Serialise a time as a ``google.protobuf.Timestamp``.

    Args:
        time_ms: ms since 1970 UTC.
        extra_ns: nanoseconds to add, less than a million.

    Examples:
        2026-11-23T00:00:00.123456Z:

        >>> timestamp_value(1_795_392_000_123, extra_ns=456_000).hex()
        '0880848ed806108094ef3a'
    """
    seconds, rest_ms = divmod(time_ms, 1_000)
    nanos = rest_ms * 1_000_000 + extra_ns
    serialised = b"\x08" + _varint(seconds & _MASK_64) if seconds else b""
    return serialised + (b"\x10" + _varint(nanos) if nanos else b"")


def read_number(data: bytes) -> FeatureValue:
    """Read a ``feast.types.Value`` that is an integer, a double, or null.

    Raises:
        ValueError: it is something else.
        IndexError: it ends too early.

    Examples:
        >>> read_number(int64_value(-3)), read_number(double_value(0.5)), read_number(NULL_VALUE)
        (-3, 0.5, None)
    """
    if data[:1] == b"\x29" and len(data) == 9:
        number: float = struct.unpack("<d", data[1:])[0]
        return number
    if data[:1] == b"\x20":
        value, at = _read_varint(data, 1)
        if at == len(data) and value <= _MASK_64:
            return value - ((value >> 63) << 64)
    if data == NULL_VALUE:
        return None
    raise ValueError(f"a number begins with {data[:8]!r}")


def read_bytes_value(data: bytes) -> bytes:
    """Read a ``feast.types.Value`` that holds bytes.

    Raises:
        ValueError: it holds something else.
        IndexError: it ends too early.
    """
    size, at = _read_varint(data, 1)
    if data[:1] != b"\x0a" or len(data) != at + size:
        raise ValueError(f"a bytes value begins with {data[:8]!r}")
    return data[at:]


def read_timestamp(data: bytes) -> int:
    """Read a ``google.protobuf.Timestamp`` as ms since 1970 UTC, rounded down.

    Raises:
        ValueError: it is something else.
        IndexError: it ends too early.
    """
    fields = {0x08: 0, 0x10: 0}
    at = 0
    while at < len(data):
        tag = data[at]
        if tag not in fields:
            raise ValueError(f"a timestamp has a field {tag:#x}")
        fields[tag], at = _read_varint(data, at + 1)
    seconds = fields[0x08]
    seconds -= (seconds >> 63) << 64
    return seconds * 1_000 + fields[0x10] // 1_000_000


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Give a varint and the position after it."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1
