"""Redis keys, fields and the guarded write, in Feast's own layout. Bytes only, no client.

One hash for each entity holds a feature view as any Feast client reads it: the values as of the
newest event, and the operator's state as one more feature. The values grow old; who wants them
as of now decodes the state. Feast does not filter by age either, so look at the event time.
The velocity job writes, the API reads; a contract test compares the bytes with Feast's own.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import mmh3

from features.batch import BATCH_NAMES, BATCH_VIEW
from features.definitions import (
    DEFINITION_DIGEST,
    MERCHANT_FEATURES,
    USER_FEATURES,
    Entity,
    ValueType,
)
from features.engine.aggregates import FeatureValue
from features.engine.values import Values
from schemas.errors import WeirError

VIEWS: dict[Entity, str] = {"user": "user_velocity", "merchant": "merchant_risk"}
"""The feature view of each entity."""

JOIN_KEYS: dict[Entity, str] = {"user": "user_id", "merchant": "merchant_id"}
"""The join key of each entity, a string."""

STATE_FEATURE = "state"
"""The feature, of type bytes, that holds the state."""

WRITE_SCRIPT = """
local stored = redis.call('HMGET', KEYS[1], ARGV[1], ARGV[3])
if stored[1] and stored[2] == ARGV[4] and tonumber(stored[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
"""
"""Lua: write one entity, or nothing if what is stored has the same definitions and an equal or
higher sequence. KEYS and ARGV as ``write_arguments`` gives them; returns 1 if it wrote. Writes
every field to an absolute value, so doing it again is harmless. Other definitions overwrite."""

_STRING_TYPE = 2  # feast.types.ValueType.STRING
_TYPES: dict[Entity, dict[str, ValueType]] = {
    "user": {feature.name: feature.value_type for feature in USER_FEATURES},
    "merchant": {feature.name: feature.value_type for feature in MERCHANT_FEATURES},
}
_MASK_64 = (1 << 64) - 1


class OnlineStoreBytesError(WeirError, ValueError):
    """What is stored for an entity is not what ``hash_fields`` writes."""


class OnlineEntity(NamedTuple):
    """What is stored of one entity.

    Attributes:
        state: bytes of the state's online form.
        sequence: of the state.
        event_time_ms: newest event time, ms since 1970 UTC.
        digest: definitions the state was made with.
    """

    state: bytes
    sequence: int
    event_time_ms: int
    digest: str


def entity_key(entity: Entity, value: str, project: str) -> bytes:
    r"""Give the key of an entity's hash: Feast's entity key, version 3, then the project.

    Examples:
        >>> entity_key("user", "u1", "weir")[12:]
        b'user_id\x02\x00\x00\x00\x02\x00\x00\x00u1weir'
    """
    name, text = JOIN_KEYS[entity].encode(), value.encode()
    return b"".join(
        (
            struct.pack("<III", 1, _STRING_TYPE, len(name)),
            name,
            struct.pack("<II", _STRING_TYPE, len(text)),
            text,
            project.encode(),
        )
    )


@cache
def field_name(view: str, feature: str) -> bytes:
    """Give the field of a feature: 4 little-endian bytes of murmur3_32 of ``view:feature``.

    Examples:
        >>> field_name("card_velocity", "cnt_1h").hex()
        'bc8e6e2d'
    """
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


@cache
def timestamp_field(view: str) -> bytes:
    """Give the field of a view's event time."""
    return f"_ts:{view}".encode()


@cache
def sequence_field(view: str) -> bytes:
    """Give the field of the state's sequence, in decimal digits. Ours, not Feast's."""
    return f"_weir_sequence:{view}".encode()


@cache
def digest_field(view: str) -> bytes:
    """Give the field of the definition digest. Ours, not Feast's."""
    return f"_weir_digest:{view}".encode()


def int64_value(value: int) -> bytes:
    """Serialise a whole number as a ``feast.types.Value``.

    Examples:
        >>> int64_value(3).hex()
        '2003'
    """
    return b"\x20" + _varint(value & _MASK_64)


def double_value(value: float) -> bytes:
    """Serialise a number as a ``feast.types.Value``."""
    return b"\x29" + struct.pack("<d", value)


def bytes_value(value: bytes) -> bytes:
    """Serialise bytes as a ``feast.types.Value``.

    Examples:
        >>> bytes_value(bytes.fromhex("00ff")).hex()
        '0a0200ff'
    """
    return b"\x0a" + _varint(len(value)) + value


NULL_VALUE = b""
"""A ``feast.types.Value`` that is null."""


def timestamp_value(time_ms: int, *, extra_ns: int = 0) -> bytes:
    """Serialise an instant as a ``google.protobuf.Timestamp``.

    Args:
        time_ms: ms since 1970 UTC.
        extra_ns: nanoseconds after it, less than a million.

    Examples:
        2026-11-23T00:00:00.123456Z:

        >>> timestamp_value(1_795_392_000_123, extra_ns=456_000).hex()
        '0880848ed806108094ef3a'
    """
    seconds, rest_ms = divmod(time_ms, 1_000)
    nanos = rest_ms * 1_000_000 + extra_ns
    serialised = b"\x08" + _varint(seconds & _MASK_64) if seconds else b""
    return serialised + (b"\x10" + _varint(nanos) if nanos else b"")


def hash_fields(
    entity: Entity, values: Values, *, state: bytes, sequence: int, event_time_ms: int
) -> dict[bytes, bytes]:
    """Give all fields of an entity's hash, those of the guard first.

    Args:
        entity: which view.
        values: as of the newest event.
        state: bytes of the state's online form.
        sequence: of the state.
        event_time_ms: newest event time, ms since 1970 UTC.
    """
    view = VIEWS[entity]
    types = _TYPES[entity]
    fields = {
        sequence_field(view): b"%d" % sequence,
        digest_field(view): DEFINITION_DIGEST.encode(),
        timestamp_field(view): timestamp_value(event_time_ms),
        field_name(view, STATE_FEATURE): bytes_value(state),
    }
    for name, value in values.features.items():
        fields[field_name(view, name)] = _serialise(value, types[name])
    return fields


def write_arguments(key: bytes, fields: Mapping[bytes, bytes]) -> list[bytes]:
    """Give what follows ``EVALSHA sha 1``: the key, then the fields of ``hash_fields``."""
    return [key, *(part for pair in fields.items() for part in pair)]


def state_fields(entity: Entity) -> list[bytes]:
    """Give the fields to ask for with HMGET, in the order that ``decode_values`` expects."""
    view = VIEWS[entity]
    return [
        field_name(view, STATE_FEATURE),
        sequence_field(view),
        timestamp_field(view),
        digest_field(view),
    ]


@cache
def batch_fields() -> tuple[bytes, ...]:
    """Give the fields of a user's batch features: their snapshot's time, then each value.

    They are in the same hash as the user's state; Feast's materialisation writes them.
    """
    return (
        timestamp_field(BATCH_VIEW),
        *(field_name(BATCH_VIEW, feature) for feature in BATCH_NAMES),
    )


@cache
def complete_key(project: str) -> bytes:
    """Give the key that says up to which snapshot the batch features are complete. Ours.

    Its value is the snapshot's time in ms since 1970 UTC, in decimal digits, written after the
    values: whoever has no values then had no history. Feast itself keeps no such mark.

    Examples:
        >>> complete_key("weir")
        b'weir:complete:user_statistics:weir'
    """
    return f"weir:complete:{BATCH_VIEW}:{project}".encode()


def decode_values(entity: Entity, values: Sequence[bytes | None]) -> OnlineEntity | None:
    """Read the answer to an HMGET of ``state_fields``.

    Returns:
        What is stored; None for an entity that was never written.

    Raises:
        OnlineStoreBytesError: a field is missing or is not as we write it.
    """
    if all(value is None for value in values):
        return None
    try:
        state, sequence, timestamp, digest = values
        if state is None or sequence is None or timestamp is None or digest is None:
            raise ValueError("a field is missing")
        return OnlineEntity(
            _read_bytes_value(state), int(sequence), read_timestamp(timestamp), digest.decode()
        )
    except (ValueError, IndexError) as error:
        raise OnlineStoreBytesError(
            f"fields of a stored {entity} do not read: {error!r}; delete its key, "
            "the velocity job writes it anew with the next event"
        ) from None


def decode_hash(entity: Entity, fields: Mapping[bytes, bytes]) -> OnlineEntity | None:
    """Read a whole hash (HGETALL) like :func:`decode_values`."""
    return decode_values(entity, [fields.get(name) for name in state_fields(entity)])


def _serialise(value: FeatureValue, value_type: ValueType) -> bytes:
    if value is None:
        return NULL_VALUE
    return double_value(value) if value_type == "double" else int64_value(int(value))


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


def read_number(data: bytes) -> FeatureValue:
    """Read a ``feast.types.Value`` that is a whole number, a number, or null.

    Raises:
        ValueError: it is none of these.
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


def _read_bytes_value(data: bytes) -> bytes:
    size, at = _read_varint(data, 1)
    if data[:1] != b"\x0a" or len(data) != at + size:
        raise ValueError(f"a bytes value begins with {data[:8]!r}")
    return data[at:]


def read_timestamp(data: bytes) -> int:
    """Read a ``google.protobuf.Timestamp``: ms since 1970 UTC; what is finer is cut.

    Raises:
        ValueError, IndexError: it is none.
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
