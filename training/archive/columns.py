"""From records of a log to columns of the archive. Pure: bytes in, Arrow out.

What others sent (transactions, labels) is read strictly, as the stream reads it, but for the
clock: a record that the stream has refused as ahead of its time is readable here, and has no
feature row. What Weir wrote is taken column by column. Deterministic by record: how records are
cut into batches changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson
import pyarrow as pa

from clients.log_record import Record
from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas.codec import decode_label, decode_transaction
from schemas.errors import InvalidEventError
from schemas.topics import DECISIONS, FEATURES, LABELS, TRANSACTIONS
from schemas.transaction import Limits
from training.archive.tables import BACKFILLED, DAY, SCHEMAS

_DAY_MS: Final = 86_400_000
_NAMES: Final = frozenset(FEATURE_NAMES)
_DECODED_AT_ONCE: Final = 500
"""Records whose Python objects live at the same time. Measured: 5,000 cost twice as much each,
because they no longer fit the processor's cache."""
_NOT_AS_EXPECTED: Final = (KeyError, TypeError, ValueError, OverflowError, AttributeError)
"""What a row of Weir's own may raise that is none; Arrow's refusals are among them."""

Columns = dict[str, list[Any]]


def to_batches(topic: str, records: Sequence[Record], *, limits: Limits) -> list[pa.RecordBatch]:
    """Give the archived rows of some records: those that can be read, then the others.

    Args:
        topic: one of `training.archive.tables.TABLES`, or `BACKFILLED`.
        records: of that topic, any partitions.
        limits: what the deployment accepts of others.
    """
    batches: list[pa.RecordBatch] = []
    for start in range(0, len(records), _DECODED_AT_ONCE):
        batches += _decoded(topic, records[start : start + _DECODED_AT_ONCE], limits)
    return batches


def _decoded(topic: str, records: Sequence[Record], limits: Limits) -> list[pa.RecordBatch]:
    readable, unreadable = _parsed(topic, records, limits)
    try:
        batches = [_batch(topic, readable)] if readable else []
    except _NOT_AS_EXPECTED:
        batches, others = _one_by_one(topic, readable)
        unreadable += others
    if unreadable:
        batches.append(_unread_batch(topic, unreadable))
    return batches


_Parsed = tuple[Record, Any]


def _parsed(
    topic: str, records: Sequence[Record], limits: Limits
) -> tuple[list[_Parsed], list[Record]]:
    readers: dict[str, Callable[[bytes | None], Any]] = {
        # The stream has judged the clock when the record came in; here only the rest counts.
        TRANSACTIONS: partial(decode_transaction, limits=limits, now_ms=0, is_replay=True),
        LABELS: partial(decode_label, limits=limits, now_ms=0, is_replay=True),
    }
    read = readers.get(topic, _own)
    readable: list[_Parsed] = []
    unreadable: list[Record] = []
    for record in records:
        try:
            readable.append((record, read(record.value)))
        except InvalidEventError:
            unreadable.append(record)
    return readable, unreadable


def _own(value: bytes | None) -> Any:
    if value is None:
        raise InvalidEventError(None, "is null: a tombstone is not an event")
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidEventError(None, f"is not JSON: {error}") from error


def _one_by_one(
    topic: str, readable: Sequence[_Parsed]
) -> tuple[list[pa.RecordBatch], list[Record]]:
    batches = []
    others = []
    for one in readable:
        try:
            batches.append(_batch(topic, [one]))
        except _NOT_AS_EXPECTED:
            others.append(one[0])
    return batches, others


def _batch(topic: str, readable: Sequence[_Parsed]) -> pa.RecordBatch:
    rows = [row for _, row in readable]
    columns = _COLUMNS[topic](rows)
    records = [record for record, _ in readable]
    return _assembled(topic, columns, records, columns["event_time_ms"], is_readable=True)


def _unread_batch(topic: str, records: Sequence[Record]) -> pa.RecordBatch:
    # A record without a timestamp says -1.
    times_ms = [max(record.timestamp_ms, 0) for record in records]
    return _assembled(topic, {}, records, times_ms, is_readable=False)


def _assembled(
    topic: str,
    columns: Mapping[str, list[Any]],
    records: Sequence[Record],
    times_ms: Sequence[int],
    *,
    is_readable: bool,
) -> pa.RecordBatch:
    rows = len(records)
    times = pa.array(times_ms, pa.int64()).cast(pa.timestamp("ms", "UTC"))
    places = {
        "event_time": times.cast(pa.timestamp("us", "UTC")),
        "log_partition": [record.partition for record in records],
        "log_offset": [record.offset for record in records],
        "log_timestamp_ms": [record.timestamp_ms for record in records],
        "is_readable": [is_readable] * rows,
        "unread": [None if is_readable else record.value for record in records],
        DAY: pa.array([time_ms // _DAY_MS for time_ms in times_ms], pa.int32()).cast(pa.date32()),
    }
    arrays = []
    for field in SCHEMAS[topic]:
        values = places[field.name] if field.name in places else columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
        elif isinstance(values, pa.Array):
            arrays.append(values)
        else:
            arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS[topic])


def _attributes(names: Sequence[str], rows: Sequence[Any]) -> Columns:
    return {name: [getattr(row, name) for row in rows] for name in names}


def _fields(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Columns:
    return {name: [row[name] for row in rows] for name in names}


_TRANSACTION_FIELDS: Final = (
    "transaction_id",
    "user_id",
    "merchant_id",
    "amount_minor",
    "currency",
    "event_time_ms",
)
_OPTIONAL_FIELDS: Final = ("device_type", "ip_country")


def _transactions(rows: Sequence[Any]) -> Columns:
    return _attributes((*_TRANSACTION_FIELDS, *_OPTIONAL_FIELDS), rows)


def _labels(rows: Sequence[Any]) -> Columns:
    names = ("transaction_id", "merchant_id", "event_time_ms", "observed_time_ms", "is_fraud")
    return _attributes(names, rows)


def _feature_rows(rows: Sequence[Mapping[str, Any]]) -> Columns:
    transactions = [row["transaction"] for row in rows]
    origins = [row["origin"] for row in rows]
    names = ("approximate", "definition_digest", "repeat", "user_sequence")
    return {
        **_fields(_TRANSACTION_FIELDS, transactions),
        **{name: [row.get(name) for row in transactions] for name in _OPTIONAL_FIELDS},
        **_features(rows),
        **_fields((*names, "merchant_sequence", "computed_at_ms"), rows),
        "origin_partition": [origin["partition"] for origin in origins],
        "origin_offset": [origin["offset"] for origin in origins],
        "origin_timestamp_ms": [origin["timestamp_ms"] for origin in origins],
    }


def _decisions(rows: Sequence[Mapping[str, Any]]) -> Columns:
    models = [row["model"] for row in rows]
    places = [row["features_offset"] for row in rows]
    names = ("transaction_id", "user_id", "decision", "score", "vector", "definition_digest")
    lists = ("approximate", "degraded", "reasons")
    return {
        **_fields((*names, *lists, "event_time_ms", "decided_at_ms"), rows),
        "model_name": [model["name"] for model in models],
        "model_version": [model["version"] for model in models],
        "model_digest": [model["digest"] for model in models],
        **_features(rows),
        "features_partition": [place["partition"] for place in places],
        "features_offset": [place["offset"] for place in places],
        "timings": [orjson.dumps(row["timings"]).decode() for row in rows],
        "batch_as_of_ms": [row.get("batch_as_of_ms") for row in rows],
    }


def _features(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """One column a feature; what has no column goes into ``other_features``."""
    features = [row["features"] for row in rows]
    others: list[str | None] = [None] * len(rows)
    for at, row in enumerate(rows):
        # A row of the present definitions that lacks a feature is no feature row: KeyError below.
        if row["definition_digest"] == DEFINITION_DIGEST and len(features[at]) == len(_NAMES):
            continue
        unknown = {name: value for name, value in features[at].items() if name not in _NAMES}
        others[at] = orjson.dumps(unknown).decode() if unknown else None
        if row["definition_digest"] != DEFINITION_DIGEST:
            features[at] = {**dict.fromkeys(FEATURE_NAMES), **features[at]}
    return {**_fields(FEATURE_NAMES, features), "other_features": others}


_COLUMNS: Final[Mapping[str, Callable[[Sequence[Any]], Columns]]] = {
    TRANSACTIONS: _transactions,
    LABELS: _labels,
    FEATURES: _feature_rows,
    BACKFILLED: _feature_rows,
    DECISIONS: _decisions,
}
