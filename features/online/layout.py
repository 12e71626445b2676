"""Redis keys, fields and the guarded write, in Feast's own layout. Bytes only, no client.

One hash for each entity holds a feature view as any Feast client reads it: the values as of the
newest event, and the state of the operator as one more feature. The values are not updated as time
passes; for values as of now, decode the state and read it as of now. Feast does not filter by age,
so check the event time. The velocity job writes and the API reads; a contract test compares the
bytes with Feast's own.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import mmh3

from features.batch import STATISTICS, BatchView
from features.definitions import (
    DEFINITION_DIGEST,
    MERCHANT_FEATURES,
    USER_FEATURES,
    Entity,
    ValueType,
)
from features.engine.values import FeatureValue, Values
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
local fields = tonumber(ARGV[1])
local written = 0
for position, key in ipairs(KEYS) do
  local before = 1 + fields * position
  local stored = redis.call('HMGET', key, ARGV[2], ARGV[3])
  local is_newer = stored[1] and stored[2] == ARGV[before + 2]
    and tonumber(stored[1]) >= tonumber(ARGV[before + 1])
  if not is_newer then
    local pairs = {}
    for field = 1, fields do
      pairs[2 * field - 1] = ARGV[1 + field]
      pairs[2 * field] = ARGV[before + field]
    end
    redis.call('HSET', key, unpack(pairs))
    written = written + 1
  end
end
return written
"""
"""Lua: write many entities of one kind, except those whose stored state has the same definitions
and an equal or higher sequence. Takes the arguments of ``write_arguments``; returns how many it
wrote. Every field is set to an absolute value, so repeating a write is harmless. Other definitions
overwrite."""

_STRING_TYPE = 2  # feast.types.ValueType.STRING
_INT64_TYPE = 4  # feast.types.ValueType.INT64
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


def integer_key_parts(join_key: str, project: str) -> tuple[bytes, bytes]:
    r"""Give what stands before and after the value in the key of an entity with an integer id.

    Between them are the 8 little-endian bytes of the id, so a script of Redis can make such keys.

    Args:
        join_key: the name of the id in Feast; its type is INT64.
        project: the Feast project.

    Examples:
        >>> integer_key_parts("product_id", "weir")[0][12:]
        b'product_id\x04\x00\x00\x00\x08\x00\x00\x00'
    """
    name = join_key.encode()
    before = struct.pack("<III", 1, _STRING_TYPE, len(name)) + name
    return before + struct.pack("<II", _INT64_TYPE, 8), project.encode()


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


@cache
def hash_names(entity: Entity) -> tuple[bytes, ...]:
    """Give the fields of an entity's hash, those that the guarded write compares first."""
    view = VIEWS[entity]
    return (
        sequence_field(view),
        digest_field(view),
        timestamp_field(view),
        field_name(view, STATE_FEATURE),
        *(field_name(view, name) for name in _TYPES[entity]),
    )


def hash_fields(
    entity: Entity, values: Values, *, state: bytes, sequence: int, event_time_ms: int
) -> dict[bytes, bytes]:
    """Give all fields of an entity's hash with their values, in the order of ``hash_names``.

    Args:
        entity: kind of the entity; chooses the view.
        values: values as of the newest event.
        state: bytes of the state's online form.
        sequence: sequence of the state.
        event_time_ms: newest event time, ms since 1970 UTC.
    """
    serialised = (
        _serialise(values.features[name], value_type) for name, value_type in _TYPES[entity].items()
    )
    return dict(
        zip(
            hash_names(entity),
            (
                b"%d" % sequence,
                DEFINITION_DIGEST.encode(),
                timestamp_value(event_time_ms),
                bytes_value(state),
                *serialised,
            ),
            strict=True,
        )
    )


def write_arguments(
    entity: Entity, keys: Sequence[bytes], values: Sequence[bytes]
) -> list[bytes | int]:
    """Give the arguments of ``WRITE_SCRIPT``, beginning with the number of keys.

    Args:
        entity: kind of the entities.
        keys: the keys of their hashes.
        values: the values of all fields in the order of ``hash_names``, key after key.
    """
    names = hash_names(entity)
    return [len(keys), *keys, len(names), *names, *values]


def layout_json(entity: Entity, project: str) -> str:
    """Give the layout of an entity's keys for the native engine, which encodes the values itself.

    Examples:
        >>> layout_json("user", "weir")[-34:]
        'key_suffix": [119, 101, 105, 114]}'
    """
    empty = entity_key(entity, "", "")
    prefix = empty[: -len(struct.pack("<I", 0))]
    return json.dumps({"key_prefix": list(prefix), "key_suffix": list(project.encode())})


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
def batch_fields(view: BatchView = STATISTICS) -> tuple[bytes, ...]:
    """Give the fields of a user's batch features: their snapshot's time, then each value.

    They are in the same hash as the user's state and are written by Feast's materialisation.
    """
    return (
        timestamp_field(view.name),
        *(field_name(view.name, feature) for feature in view.names),
    )


@cache
def complete_key(project: str, view: BatchView = STATISTICS) -> bytes:
    """Give the key of the last snapshot that is completely in Redis. Not part of Feast's layout.

    Its value is the snapshot's time in ms since 1970 UTC, in decimal digits. It is written after
    the values of all users, so a user without values had no history at that time.

    Examples:
        >>> complete_key("weir")
        b'weir:complete:user_statistics:weir'
    """
    return f"weir:complete:{view.name}:{project}".encode()


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
