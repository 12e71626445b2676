"""Redis keys, fields and the guarded write, in Feast's own layout. Bytes only, no client.

One hash for each entity holds a feature view as any Feast client reads it: the values as of the
newest event, and the state of the operator as one more feature. The values are not updated as time
passes; for values as of now, decode the state and read it as of now. Feast does not filter by age,
so check the event time. The velocity job writes and the API reads; a contract test compares the
bytes with Feast's own.
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
from features.online.feast_values import (
    NULL_VALUE,
    bytes_value,
    double_value,
    int64_value,
    read_bytes_value,
    read_timestamp,
    timestamp_value,
)
from schemas.errors import WeirError

VIEWS: dict[Entity, str] = {"user": "user_velocity", "merchant": "merchant_risk"}
"""The feature view of each entity."""

JOIN_KEYS: dict[Entity, str] = {"user": "user_id", "merchant": "merchant_id"}
"""The join key of each entity, a string."""

STATE_FEATURE = "state"
"""The feature that holds the state, as bytes."""

WRITE_SCRIPT = """
local stored = redis.call('HMGET', KEYS[1], ARGV[1], ARGV[3])
if stored[1] and stored[2] == ARGV[4] and tonumber(stored[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
"""
"""Lua: write one entity, except if the stored one has the same definitions and an equal or higher
sequence. Takes KEYS and ARGV as ``write_arguments`` gives them; returns 1 if it wrote. Every field
is set to an absolute value, so repeating a write is harmless. Other definitions overwrite."""

_STRING_TYPE = 2  # feast.types.ValueType.STRING
_TYPES: dict[Entity, dict[str, ValueType]] = {
    "user": {feature.name: feature.value_type for feature in USER_FEATURES},
    "merchant": {feature.name: feature.value_type for feature in MERCHANT_FEATURES},
}


class OnlineStoreBytesError(WeirError, ValueError):
    """The stored fields of an entity are not as ``hash_fields`` writes them."""


class OnlineEntity(NamedTuple):
    """The stored data of one entity.

    Attributes:
        state: bytes of the state's online form.
        sequence: sequence of the state.
        event_time_ms: newest event time, ms since 1970 UTC.
        digest: digest of the definitions of the state.
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
    """Give the field of the state's sequence, in decimal digits. Not part of Feast's layout."""
    return f"_weir_sequence:{view}".encode()


@cache
def digest_field(view: str) -> bytes:
    """Give the field of the definition digest. Not part of Feast's layout."""
    return f"_weir_digest:{view}".encode()


def hash_fields(
    entity: Entity, values: Values, *, state: bytes, sequence: int, event_time_ms: int
) -> dict[bytes, bytes]:
    """Give all fields of an entity's hash, those that the guarded write compares first.

    Args:
        entity: kind of the entity; chooses the view.
        values: values as of the newest event.
        state: bytes of the state's online form.
        sequence: sequence of the state.
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
    """Give the arguments after ``EVALSHA sha 1``: the key, then the fields of ``hash_fields``."""
    return [key, *(part for pair in fields.items() for part in pair)]


def state_fields(entity: Entity) -> list[bytes]:
    """Give the fields for HMGET, in the order that ``decode_values`` expects."""
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

    They are in the same hash as the user's state and are written by Feast's materialisation.
    """
    return (
        timestamp_field(BATCH_VIEW),
        *(field_name(BATCH_VIEW, feature) for feature in BATCH_NAMES),
    )


@cache
def complete_key(project: str) -> bytes:
    """Give the key of the last snapshot that is completely in Redis. Not part of Feast's layout.

    Its value is the snapshot's time in ms since 1970 UTC, in decimal digits. It is written after
    the values of all users, so a user without values had no history at that time.

    Examples:
        >>> complete_key("weir")
        b'weir:complete:user_statistics:weir'
    """
    return f"weir:complete:{BATCH_VIEW}:{project}".encode()


def decode_values(entity: Entity, values: Sequence[bytes | None]) -> OnlineEntity | None:
    """Read the answer to an HMGET of ``state_fields``.

    Returns:
        The stored entity; None if it was never written.

    Raises:
        OnlineStoreBytesError: a field is missing or is not as ``hash_fields`` writes it.
    """
    if all(value is None for value in values):
        return None
    try:
        state, sequence, timestamp, digest = values
        if state is None or sequence is None or timestamp is None or digest is None:
            raise ValueError("a field is missing")
        return OnlineEntity(
            read_bytes_value(state), int(sequence), read_timestamp(timestamp), digest.decode()
        )
    except (ValueError, IndexError) as error:
        raise OnlineStoreBytesError(
            f"the fields of a stored {entity} cannot be read: {error!r}; delete its key, "
            "the velocity job writes it again with the next event"
        ) from None


def decode_hash(entity: Entity, fields: Mapping[bytes, bytes]) -> OnlineEntity | None:
    """Read a whole hash (HGETALL) like :func:`decode_values`."""
    return decode_values(entity, [fields.get(name) for name in state_fields(entity)])


def _serialise(value: FeatureValue, value_type: ValueType) -> bytes:
    if value is None:
        return NULL_VALUE
    return double_value(value) if value_type == "double" else int64_value(int(value))
