"""An archive of made-up feature rows, as large as asked for, and rows that must not be scored.

The values are random but typical: skewed counts and amounts, and nulls. Written chunk by chunk with
the archive's own schema, so that tests and benches of batch scoring read what the archiver writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from features.definitions import DAY_MS, DEFINITION_DIGEST, FEATURE_NAMES
from schemas.topics import FEATURES
from training.archive.store import ArchiveTable
from training.archive.tables import DAY, SCHEMAS

FIRST_DAY_MS = 1_780_272_000_000
"""2026-06-01, UTC."""
CHUNK_ROWS = 500_000
NULL_SHARE = 0.05
COUNTRIES = ("AT", "DE", "FR", "IT", None)
DEVICES = ("mobile", "web", None)


def write_archive(
    url: str,
    rows: int,
    *,
    days: int = 1,
    users: int = 50_000,
    repeats: int = 0,
    seed: int = 5,
    chunk_rows: int = CHUNK_ROWS,
) -> None:
    """Write the table of feature rows.

    Args:
        url: of the archive.
        rows: transactions, evenly over the days.
        days: how many, from `FIRST_DAY_MS` on.
        users: how many there are.
        repeats: rows of the first transactions that come again at the end of the log.
        seed: of the values.
        chunk_rows: rows of a commit, and so of a file.
    """
    table = ArchiveTable(url, FEATURES)
    table.open_or_create()
    rng = np.random.default_rng(seed)
    for start in range(0, rows, chunk_rows):
        count = min(chunk_rows, rows - start)
        numbers = np.arange(start, start + count)
        times_ms = FIRST_DAY_MS + (numbers * (days * DAY_MS) // rows)
        _append(table, _columns(rng, numbers, times_ms, users, offset=start), start + count)
    if repeats:
        numbers = np.arange(repeats)
        times_ms = FIRST_DAY_MS + (numbers * (days * DAY_MS) // rows)
        columns = _columns(rng, numbers, times_ms, users, offset=rows)
        _append(table, columns, rows + repeats)


def _columns(
    rng: np.random.Generator,
    numbers: np.ndarray[Any, Any],
    times_ms: np.ndarray[Any, Any],
    users: int,
    *,
    offset: int,
) -> Mapping[str, Any]:
    count = len(numbers)
    columns: dict[str, Any] = {
        "transaction_id": [f"t-{number:016x}" for number in numbers],
        "user_id": [f"u-{user}" for user in rng.integers(0, users, count)],
        "merchant_id": [f"m-{merchant}" for merchant in rng.integers(0, 3_000, count)],
        "amount_minor": rng.lognormal(8, 1, count).astype(np.int64) + 1,
        "currency": ["EUR"] * count,
        "event_time_ms": times_ms,
        "device_type": rng.choice(np.array(DEVICES, dtype=object), count),
        "ip_country": rng.choice(np.array(COUNTRIES, dtype=object), count),
        "definition_digest": [DEFINITION_DIGEST] * count,
        "repeat": np.zeros(count, dtype=bool),
        "computed_at_ms": times_ms + 5,
        "log_partition": np.zeros(count, dtype=np.int32),
        "log_offset": np.arange(offset, offset + count),
        "log_timestamp_ms": times_ms,
        "is_readable": np.ones(count, dtype=bool),
        "event_time": times_ms * 1_000,
        DAY: (times_ms // DAY_MS).astype(np.int32),
    }
    for name in FEATURE_NAMES:
        values = np.floor(rng.gamma(1.2, 8, count)) if "rate" not in name else rng.random(count)
        columns[name] = pa.array(values, mask=rng.random(count) < NULL_SHARE)
    return columns


def _append(table: ArchiveTable, columns: Mapping[str, Any], next_offset: int) -> None:
    schema = SCHEMAS[FEATURES]
    size = len(columns["transaction_id"])
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(size, field.type))
        elif isinstance(values, pa.Array):
            arrays.append(values.cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    table.append([batch], next_offsets={0: next_offset})
