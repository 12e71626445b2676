"""The columns of plain records, read by the native engine; the others are left.

Describes for the engine what ``topic_columns.py`` reads from parsed records, and nothing more: a
record that is taken here would give the same row there. Pure. Called by
`training.archive.columns`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import pyarrow as pa

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.engine.records import (
    RecordReader,
    open_label_reader,
    open_reader,
    open_transaction_reader,
)
from schemas.fields import EVENT_TIME_MS_MAX
from schemas.topics import DECISIONS, LABELS, TRANSACTIONS
from schemas.transaction import Limits
from training.archive.tables import SCHEMAS
from training.archive.topic_columns import (
    JSON_DECISION_FIELDS,
    LABEL_FIELDS,
    NEWER_DECISION_FIELDS,
    OPTIONAL_FIELDS,
    TRANSACTION_FIELDS,
)

_INTEGERS: Final = {pa.int32(): 2**31, pa.int64(): 2**63}
_KINDS: Final = {
    pa.string(): "text",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.list_(pa.string()): "texts",
    pa.list_(pa.float64()): "doubles",
}


class PlainColumns(NamedTuple):
    """The columns of the records that were taken.

    Attributes:
        columns: by name, without those that every table has.
        left: positions of the records that were not taken, ascending.
    """

    columns: dict[str, pa.Array]
    left: list[int]


def plain_columns(topic: str, values: Sequence[bytes | None], *, limits: Limits) -> PlainColumns:
    """Read the records that are plain.

    Args:
        topic: one of `training.archive.tables.TABLES`, or `BACKFILLED`.
        values: of its records, in any order.
        limits: what the deployment accepts from producers.
    """
    names, reader = _reader(topic, limits)
    left, found = reader.read(values)
    rows = len(values) - len(left)
    schema = SCHEMAS[topic]
    columns = {
        name: _array(schema.field(name).type, rows, nulls, buffers)
        for name, (nulls, buffers) in zip(names, found, strict=True)
    }
    return PlainColumns(columns, left)


@lru_cache(maxsize=16)
def _reader(topic: str, limits: Limits) -> tuple[tuple[str, ...], RecordReader]:
    if topic == TRANSACTIONS:
        return (*TRANSACTION_FIELDS, *OPTIONAL_FIELDS), open_transaction_reader(limits)
    if topic == LABELS:
        return LABEL_FIELDS, open_label_reader(limits)
    shape = _Shape(topic)
    members = _decision(shape) if topic == DECISIONS else _feature_row(shape)
    return tuple(shape.names), open_reader(members)


class _Shape:
    """Collects the names of the columns in the order in which the engine gives them."""

    def __init__(self, topic: str) -> None:
        self.names: list[str] = []
        self._schema = SCHEMAS[topic]

    def fields(self, *names: str, column_start: str = "", **rules: object) -> list[dict[str, Any]]:
        """Members of the record, each a column with its name behind ``column_start``."""
        return [self._field(name, column_start + name, rules) for name in names]

    def others(self, name: str, *members: dict[str, Any], column: str) -> dict[str, Any]:
        """An object whose members without a column are together in one, as JSON."""
        self.names.append(column)
        return {"name": name, "members": members, "keeps_others": True}

    def json(self, *names: str, **rules: object) -> list[dict[str, Any]]:
        """Members of the record that are objects, each a column of JSON."""
        self.names += names
        return [{"name": name, "kind": "object", **rules} for name in names]

    def _field(self, name: str, column: str, rules: dict[str, object]) -> dict[str, Any]:
        self.names.append(column)
        if name == "event_time_ms":
            limits = {"min": 0, "max": EVENT_TIME_MS_MAX}
            return {"name": name, "kind": "integer", **limits, "is_never_null": True}
        column_type = self._schema.field(column).type
        if end := _INTEGERS.get(column_type):
            return {"name": name, "kind": "integer", "min": -end, "max": end - 1, **rules}
        return {"name": name, "kind": _KINDS[column_type], **rules}


def _feature_row(shape: _Shape) -> list[dict[str, Any]]:
    optional = partial(shape.fields, is_optional=True)
    return [
        {
            "name": "transaction",
            "members": [*shape.fields(*TRANSACTION_FIELDS), *optional(*OPTIONAL_FIELDS)],
        },
        _features(shape),
        *shape.fields("approximate"),
        *shape.fields("definition_digest", only=DEFINITION_DIGEST),
        *shape.fields("repeat", "user_sequence", "merchant_sequence"),
        {
            "name": "origin",
            "members": shape.fields("partition", "offset", "timestamp_ms", column_start="origin_"),
        },
        *shape.fields("computed_at_ms"),
    ]


def _decision(shape: _Shape) -> list[dict[str, Any]]:
    return [
        *shape.fields("transaction_id", "user_id", "decision", "score"),
        {
            "name": "model",
            "members": shape.fields("name", "version", "digest", column_start="model_"),
        },
        _features(shape),
        *shape.fields("vector", is_optional=True),
        {
            "name": "features_offset",
            "members": shape.fields("partition", "offset", column_start="features_"),
        },
        *shape.fields("definition_digest", only=DEFINITION_DIGEST),
        *shape.fields("approximate", "degraded", "reasons", "event_time_ms"),
        *shape.json("timings", is_never_null=True),
        *shape.fields("decided_at_ms"),
        *shape.fields(*NEWER_DECISION_FIELDS, is_optional=True),
        *shape.json(*JSON_DECISION_FIELDS, is_optional=True),
    ]


def _features(shape: _Shape) -> dict[str, Any]:
    return shape.others("features", *shape.fields(*FEATURE_NAMES), column="other_features")


def _array(
    column_type: pa.DataType, rows: int, nulls: int, buffers: Sequence[bytes | None]
) -> pa.Array:
    """Make an array of the engine's buffers without copying them."""
    parts = [None if part is None else pa.py_buffer(part) for part in buffers]
    if column_type == pa.int32():
        return pa.Array.from_buffers(pa.int64(), rows, parts, nulls).cast(column_type)
    if not pa.types.is_list(column_type):
        return pa.Array.from_buffers(column_type, rows, parts, nulls)
    offsets = buffers[1]
    assert offsets is not None
    elements = int.from_bytes(offsets[-4:], sys.byteorder)
    child = pa.Array.from_buffers(column_type.value_type, elements, parts[2:])
    return pa.Array.from_buffers(column_type, rows, parts[:2], nulls, children=[child])
