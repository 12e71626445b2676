"""Turns records of a log into rows of the archive. Pure: bytes in, Arrow out.

Transactions and labels are decoded strictly, as the stream decodes them, except for the clock: a
record that the stream refused because its time is in the future is readable here, and has no
feature row. Rows that Weir wrote are taken as they are. A row depends on its record alone, not on
the batch it came in. Called by the archiver, by `weir archive verify` and by `weir backfill`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson
import pyarrow as pa

from clients.log_record import Record
from features.definitions import DAY_MS
from schemas.codec import decode_label, decode_transaction
from schemas.errors import InvalidEventError
from schemas.fields import EVENT_TIME_MS_MAX
from schemas.topics import LABELS, TRANSACTIONS
from schemas.transaction import Limits
from training.archive.tables import DAY, SCHEMAS
from training.archive.topic_columns import topic_columns

_DECODED_AT_ONCE: Final = 500
"""Records whose Python objects exist at the same time. With 5,000 each costs twice as much,
because they no longer fit the processor's cache (measured)."""
_OTHER_SHAPE: Final = (KeyError, TypeError, ValueError, OverflowError, AttributeError)
"""Raised for a record of Weir's own topics that has another shape; includes Arrow's errors."""


def to_batches(topic: str, records: Sequence[Record], *, limits: Limits) -> list[pa.RecordBatch]:
    """Give the archived rows of some records: the readable ones, then the others.

    Args:
        topic: one of `training.archive.tables.TABLES`, or `BACKFILLED`.
        records: of that topic, any partitions.
        limits: what the deployment accepts from producers.
    """
    batches: list[pa.RecordBatch] = []
    for start in range(0, len(records), _DECODED_AT_ONCE):
        batches += _decoded(topic, records[start : start + _DECODED_AT_ONCE], limits)
    return batches


def _decoded(topic: str, records: Sequence[Record], limits: Limits) -> list[pa.RecordBatch]:
    readable, unreadable = _parsed(topic, records, limits)
    try:
        batches = [_batch(topic, readable)] if readable else []
    except _OTHER_SHAPE:
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
        # The stream compared the time with its clock when the record arrived; the rest is checked.
        TRANSACTIONS: partial(decode_transaction, limits=limits, now_ms=0, is_replay=True),
        LABELS: partial(decode_label, limits=limits, now_ms=0, is_replay=True),
    }
    read = readers.get(topic, _parse_json)
    readable: list[_Parsed] = []
    unreadable: list[Record] = []
    for record in records:
        try:
            readable.append((record, read(record.value)))
        except InvalidEventError:
            unreadable.append(record)
    return readable, unreadable


def _parse_json(value: bytes | None) -> Any:
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
        except _OTHER_SHAPE:
            others.append(one[0])
    return batches, others


def _batch(topic: str, readable: Sequence[_Parsed]) -> pa.RecordBatch:
    rows = [row for _, row in readable]
    columns = topic_columns(topic, rows)
    records = [record for record, _ in readable]
    return _assembled(topic, columns, records, columns["event_time_ms"], is_readable=True)


def _unread_batch(topic: str, records: Sequence[Record]) -> pa.RecordBatch:
    # A timestamp may be negative, and any number if the topic does not check it.
    times_ms = [min(max(record.timestamp_ms, 0), EVENT_TIME_MS_MAX) for record in records]
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
    of_record = {
        "event_time": times.cast(pa.timestamp("us", "UTC")),
        "log_partition": [record.partition for record in records],
        "log_offset": [record.offset for record in records],
        "log_timestamp_ms": [record.timestamp_ms for record in records],
        "is_readable": [is_readable] * rows,
        "unread": [None if is_readable else record.value for record in records],
        DAY: pa.array([time_ms // DAY_MS for time_ms in times_ms], pa.int32()).cast(pa.date32()),
    }
    arrays = []
    for field in SCHEMAS[topic]:
        values = of_record[field.name] if field.name in of_record else columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
        elif isinstance(values, pa.Array):
            arrays.append(values)
        else:
            arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS[topic])
