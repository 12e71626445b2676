"""Reads labels, and the transactions that they are about, from the archive.

Owns which days and files are read: a transaction is looked for by its id among the rows of a few
days, or of one time. An id that was used again may have rows at other times, and only all of them
(`rows_of`) tell which one is first (`schemas.first_row`). Called by `operations.labels.checker` and
`operations.labels.report`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from operations.labels.corrections import ReportedLabel
from schemas.label import Label
from schemas.topics import FEATURES, LABELS
from training.archive.first_rows import ORDERING_COLUMNS
from training.archive.scan import LOG_OFFSET, scan
from training.archive.tables import DAY

_LABEL_FIELDS: Final = (
    "transaction_id",
    "merchant_id",
    "event_time_ms",
    "observed_time_ms",
    "is_fraud",
)
_ROW_COLUMNS: Final = (
    "transaction_id",
    "merchant_id",
    "event_time_ms",
    *ORDERING_COLUMNS,
    *LOG_OFFSET,
)


def labels_between(
    url: str, *, start: Mapping[int, int], until: Mapping[int, int]
) -> list[ReportedLabel]:
    """Read the labels at some offsets.

    Args:
        url: of the archive.
        start: by partition, the first offset.
        until: by partition, the first offset that is not included.

    Raises:
        NoArchiveError: nothing has been archived yet.
        ArchiveUnreachableError: the storage failed.
    """
    is_new = pc.scalar(value=False)
    for partition, offset in start.items():
        is_new |= (pc.field("log_partition") == partition) & (pc.field("log_offset") >= offset)
    columns = (*_LABEL_FIELDS, *LOG_OFFSET)
    rows = scan(url, LABELS, columns, until=until, where=is_new).to_pylist()
    return [
        ReportedLabel(
            Label(**{name: row[name] for name in _LABEL_FIELDS}),
            row["log_partition"],
            row["log_offset"],
        )
        for row in rows
    ]


def observations_of(url: str, labels: Collection[Label]) -> dict[tuple[str, str], frozenset[int]]:
    """Give the observed times of the archived labels of some transactions.

    Args:
        url: of the archive.
        labels: of the transactions; only labels with an event time on their days are found.

    Returns:
        By transaction and merchant, times in ms since 1970 UTC.
    """
    found: dict[tuple[str, str], frozenset[int]] = {}
    where = _of_ids(label.transaction_id for label in labels)
    where &= _on_days(day_of(label.event_time_ms) for label in labels)
    for row in scan(url, LABELS, (*_LABEL_FIELDS, *LOG_OFFSET), where=where).to_pylist():
        key = (row["transaction_id"], row["merchant_id"])
        found[key] = found.get(key, frozenset()) | {row["observed_time_ms"]}
    return found


def rows_at_times(url: str, ids: Collection[str], *, times_ms: Collection[int]) -> pd.DataFrame:
    """Read the feature rows of some transactions that have exactly one of some event times.

    Few rows are read: files and row groups whose event times are others are left out. The first
    row of an id may be missing.

    Args:
        url: of the archive.
        ids: of the transactions.
        times_ms: event times, ms since 1970 UTC.
    """
    where = _on_days(map(day_of, times_ms)) & pc.field("event_time_ms").isin(
        pa.array(list(times_ms), pa.int64())
    )
    return _feature_rows(url, where & _of_ids(ids))


def rows_around(url: str, ids: Collection[str], *, day: date) -> pd.DataFrame:
    """Read the feature rows of some transactions on a day, and on the days before and after it.

    The first row of an id may be missing.
    """
    return _feature_rows(url, _on_days([day]) & _of_ids(ids))


def rows_of(url: str, ids: Collection[str]) -> pd.DataFrame:
    """Read the feature rows of some transactions, whenever they happened; reads the whole table."""
    return _feature_rows(url, _of_ids(ids))


def day_of(time_ms: int) -> date:
    """Give the day of a time in ms since 1970, UTC."""
    return datetime.fromtimestamp(time_ms / 1_000, UTC).date()


def _feature_rows(url: str, where: Any) -> pd.DataFrame:
    rows: pd.DataFrame = scan(url, FEATURES, _ROW_COLUMNS, where=where).to_pandas()
    return rows


def _of_ids(ids: Iterable[str]) -> Any:
    return pc.field("transaction_id").isin(pa.array(sorted(set(ids)), pa.string()))


def _on_days(days: Iterable[date]) -> Any:
    """Give the condition for some days, the days before and the days after them."""
    near = {day + timedelta(days=step) for day in days for step in (-1, 0, 1)}
    return pc.field(DAY).isin(pa.array(sorted(near), pa.date32()))
