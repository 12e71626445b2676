"""Writes the feature log as a table: one row a transaction, one column a feature.

`weir export features` calls it, so that anyone can compare our values with a table of their own.
Streams: memory holds one batch and the ids that were seen.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from clients.kafka_log import read_log
from clients.log_record import Record
from features.definitions import FEATURE_NAMES, MERCHANT_FEATURES, USER_FEATURES
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_feature_row
from schemas.topics import FEATURES

BATCH_ROWS: Final = 20_000

_FRACTIONS: Final = frozenset(
    feature.name
    for feature in (*USER_FEATURES, *MERCHANT_FEATURES)
    if feature.value_type == "double"
)

SCHEMA: Final = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("user_id", pa.string()),
        ("merchant_id", pa.string()),
        ("amount_minor", pa.int64()),
        ("currency", pa.string()),
        ("event_time_ms", pa.int64()),
        ("device_type", pa.string()),
        ("ip_country", pa.string()),
        *((name, pa.float64() if name in _FRACTIONS else pa.int64()) for name in FEATURE_NAMES),
        ("approximate", pa.list_(pa.string())),
        ("repeat", pa.bool_()),
        ("definition_digest", pa.string()),
        ("log_partition", pa.int32()),
        ("log_offset", pa.int64()),
    ]
)
"""Columns of the table. Times are ms since 1970 UTC, money is minor units, null is "no value"."""


@dataclass(slots=True)
class ExportCount:
    """What an export wrote.

    Attributes:
        rows: written.
        repeats: left out, because their transaction had a row already.
    """

    rows: int = 0
    repeats: int = 0


def export_feature_log(bootstrap: str, path: Path, *, all_rows: bool) -> ExportCount:
    """Write the feature log as a Parquet file; the file appears only when it is complete.

    Args:
        bootstrap: Kafka's address.
        path: the file; replaced if it exists.
        all_rows: also rows of transactions that had one before (repeats).

    Raises:
        KafkaUnreachableError: no answer.
        InvalidEventError: a record is not a feature row.
    """
    count = ExportCount()
    records = read_log(bootstrap, FEATURES, values_only=True)
    unfinished = path.with_name(path.name + ".part")
    try:
        with pq.ParquetWriter(unfinished, SCHEMA, compression="zstd") as writer:
            for batch in _batches(_wanted(records, all_rows=all_rows, count=count)):
                writer.write_batch(batch)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _wanted(
    records: Iterable[Record], *, all_rows: bool, count: ExportCount
) -> Iterator[dict[str, Any]]:
    """Rows as columns by name; the first of each transaction, unless all are wanted."""
    seen: set[str] = set()
    for record in records:
        row = decode_feature_row(record.value)
        identity = row.transaction.transaction_id
        if identity in seen and not all_rows:
            count.repeats += 1
            continue
        seen.add(identity)
        count.rows += 1
        yield _columns(row, record)


def _columns(row: FeatureRow, record: Record) -> dict[str, Any]:
    return {
        **row.transaction.to_wire(),
        **row.features,
        "approximate": row.approximate,
        "repeat": row.repeat,
        "definition_digest": row.definition_digest,
        "log_partition": record.partition,
        "log_offset": record.offset,
    }


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    pending: list[dict[str, Any]] = []
    for row in rows:
        pending.append(row)
        if len(pending) == BATCH_ROWS:
            yield pa.RecordBatch.from_pylist(pending, schema=SCHEMA)
            pending = []
    if pending:
        yield pa.RecordBatch.from_pylist(pending, schema=SCHEMA)
