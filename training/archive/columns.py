"""Turns records of a log into rows of the archive. Pure: bytes in, Arrow out.

Transactions and labels are decoded strictly, as the stream decodes them, except for the clock: a
record that the stream refused because its time is in the future is readable here, and has no
feature row. Rows that Weir wrote are taken as they are. A row depends on its record alone, not on
the batch it came in.

The native engine reads plain records a batch at a time, six times as fast as the Python here, which
decodes the others one by one and defines what a row is. Called by the archiver, by
`weir archive verify` and by `weir backfill`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import Any, Final, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from clients.log_record import Record
from schemas.codec import decode_label, decode_transaction
from schemas.errors import InvalidEventError
from schemas.fields import EVENT_TIME_MS_MAX
from schemas.topics import LABELS, TRANSACTIONS
from schemas.transaction import Limits
from training.archive.record_columns import plain_columns
from training.archive.tables import DAY, SCHEMAS
from training.archive.topic_columns import topic_columns

_DECODED_AT_ONCE: Final = 500
"""Records whose Python objects exist at the same time. With 5,000 each costs twice as much,
because they no longer fit the processor's cache (measured)."""
_OTHER_SHAPE: Final = (KeyError, TypeError, ValueError, OverflowError, AttributeError)
"""Raised for a record of Weir's own topics that has another shape; includes Arrow's errors."""


class _Placed(NamedTuple):
    """A record and its position among those that are converted."""

    position: int
    record: Record


class _Part(NamedTuple):
    """Rows, and the positions of their records."""

    batch: pa.RecordBatch
    positions: Sequence[int]


def to_batches(topic: str, records: Sequence[Record], *, limits: Limits) -> list[pa.RecordBatch]:
    """Give the archived rows of some records, in their order.

    Args:
        topic: one of `training.archive.tables.TABLES`, or `BACKFILLED`.
        records: of that topic, any partitions.
        limits: what the deployment accepts from producers.
    """
    columns, left = plain_columns(topic, [record.value for record in records], limits=limits)
    parts: list[_Part] = []
    if len(left) < len(records):
        is_left = frozenset(left)
        taken = [at for at in range(len(records)) if at not in is_left] if left else None
        plain = records if taken is None else [records[at] for at in taken]
        batch = _assembled(topic, columns, plain, columns["event_time_ms"], is_readable=True)
        parts.append(_Part(batch, range(len(records)) if taken is None else taken))
    for start in range(0, len(left), _DECODED_AT_ONCE):
        some = [_Placed(at, records[at]) for at in left[start : start + _DECODED_AT_ONCE]]
        parts += _decoded(topic, some, limits)
    return _in_order(parts)


def _in_order(parts: Sequence[_Part]) -> list[pa.RecordBatch]:
    positions = list(chain.from_iterable(part.positions for part in parts))
    batches = [part.batch for part in parts]
    if all(one < next_one for one, next_one in pairwise(positions)):
        return batches
    rows = pa.Table.from_batches(batches).take(pc.array_sort_indices(pa.array(positions)))
    merged: list[pa.RecordBatch] = rows.combine_chunks().to_batches()
    return merged


def _decoded(topic: str, placed: Sequence[_Placed], limits: Limits) -> list[_Part]:
    readable, unreadable = _parsed(topic, placed, limits)
    try:
        parts = [_part(topic, readable)] if readable else []
    except _OTHER_SHAPE:
        parts, others = _one_by_one(topic, readable)
        unreadable += others
    if unreadable:
        parts.append(_unread_part(topic, unreadable))
    return parts


_Parsed = tuple[_Placed, Any]


def _parsed(
    topic: str, placed: Iterable[_Placed], limits: Limits
) -> tuple[list[_Parsed], list[_Placed]]:
    readers: dict[str, Callable[[bytes | None], Any]] = {
        # The stream compared the time with its clock when the record arrived; the rest is checked.
        TRANSACTIONS: partial(decode_transaction, limits=limits, now_ms=0, is_replay=True),
        LABELS: partial(decode_label, limits=limits, now_ms=0, is_replay=True),
    }
    read = readers.get(topic, _parse_json)
    readable: list[_Parsed] = []
    unreadable: list[_Placed] = []
    for each in placed:
        try:
            readable.append((each, read(each.record.value)))
        except InvalidEventError:
            unreadable.append(each)
    return readable, unreadable


def _parse_json(value: bytes | None) -> Any:
    if value is None:
        raise InvalidEventError(None, "is null: a tombstone is not an event")
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidEventError(None, f"is not JSON: {error}") from error


def _one_by_one(topic: str, readable: Sequence[_Parsed]) -> tuple[list[_Part], list[_Placed]]:
    parts = []
    others = []
    for one in readable:
        try:
            parts.append(_part(topic, [one]))
        except _OTHER_SHAPE:
            others.append(one[0])
    return parts, others


def _part(topic: str, readable: Sequence[_Parsed]) -> _Part:
    columns = topic_columns(topic, [row for _, row in readable])
    records = [each.record for each, _ in readable]
    times_ms = pa.array(columns["event_time_ms"], pa.int64())
    batch = _assembled(topic, columns, records, times_ms, is_readable=True)
    return _Part(batch, [each.position for each, _ in readable])


def _unread_part(topic: str, placed: Sequence[_Placed]) -> _Part:
    records = [each.record for each in placed]
    # A timestamp may be negative, and any number if the topic does not check it.
    times_ms = [min(max(record.timestamp_ms, 0), EVENT_TIME_MS_MAX) for record in records]
    batch = _assembled(topic, {}, records, pa.array(times_ms, pa.int64()), is_readable=False)
    return _Part(batch, [each.position for each in placed])


def _assembled(
    topic: str,
    columns: Mapping[str, list[Any] | pa.Array],
    records: Sequence[Record],
    times_ms: pa.Array,
    *,
    is_readable: bool,
) -> pa.RecordBatch:
    rows = len(records)
    if times_ms.null_count:
        raise ValueError("an event has no time")
    partitions, offsets, timestamps_ms, unread, *_ = zip(*records, strict=True)
    of_record: Mapping[str, Any] = {
        "event_time": times_ms.cast(pa.timestamp("ms", "UTC")).cast(pa.timestamp("us", "UTC")),
        "log_partition": partitions,
        "log_offset": offsets,
        "log_timestamp_ms": timestamps_ms,
        "is_readable": pa.repeat(pa.scalar(is_readable), rows),
        "unread": pa.nulls(rows, pa.binary()) if is_readable else unread,
        DAY: times_ms.cast(pa.timestamp("ms")).cast(pa.date32()),
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
