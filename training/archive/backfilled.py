"""The backfill's side of the archive: what is folded again, in which order, and what comes of it.

Reads feature rows and labels, gives the rows that stand for those of other definitions, and says
since when a feature is complete. Knows no Flink; `weir backfill` runs the folds in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clients.log_record import Record
from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES, MERCHANT_FEATURES, USER_FEATURES
from schemas.topics import FEATURES, LABELS
from schemas.transaction import Limits
from training.archive.columns import to_batches
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED, SCHEMAS
from training.errors import BackfillMismatchError, NoArchiveError, NoFeatureRowsError

NextOffsets = Mapping[int, int]
"""By partition, the first offset that is not included."""

_PLACE: Final = [("log_partition", "ascending"), ("log_offset", "ascending")]
_ORIGIN: Final = ["origin_partition", "origin_offset"]
_TRANSACTION: Final = [
    *("transaction_id", "user_id", "merchant_id", "amount_minor", "currency", "event_time_ms"),
    *("device_type", "ip_country"),
]
_FOLDED: Final = [
    *_TRANSACTION,
    *(*_ORIGIN, "origin_timestamp_ms", "repeat", "user_sequence", "merchant_sequence"),
    *("definition_digest", "computed_at_ms", "log_partition", "log_offset", "log_timestamp_ms"),
]
_LABEL: Final = ["transaction_id", "merchant_id", "event_time_ms", "observed_time_ms", "is_fraud"]
_ROWS_AT_ONCE: Final = 5_000
MERCHANT_ORDER_FIRST: Final = 1 << 40
"""A merchant's transactions are ordered from here on, its labels from 0."""


@dataclass(frozen=True, slots=True)
class BackfillStatus:
    """What the table of backfilled rows holds.

    Attributes:
        rows: it holds.
        definition_digest: of its rows.
        complete_since_ms: see `complete_since_ms`; empty if the definitions are not the present.
    """

    rows: int
    definition_digest: str
    complete_since_ms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the features that both definitions have say, old and new.

    Attributes:
        compared: values.
        different: those that are not equal.
    """

    compared: int
    different: int


def folded_rows(url: str, *, until: NextOffsets | None) -> pa.Table:
    """Give every transaction that was folded, once, with its places in the folds.

    A feature row repeats its transaction, and its sequences say in which order the states of its
    user and its merchant took it in. Records that were refused have no row, and are not folded.

    Args:
        url: of the archive.
        until: of `transactions`, by partition: fold what comes before; None: everything.

    Returns:
        Columns `_FOLDED`, ``user_order``, ``merchant_order``, ``labels_until`` (see
        `streams.backfill.frames.FoldPlace`) and ``is_old``: no row of the present definitions
        has been logged. In the order of the feature log.

    Raises:
        NoArchiveError: nothing has been archived yet.
        NoFeatureRowsError: there is nothing to fold.
    """
    rows = ArchiveTable(url, FEATURES).dataset()
    table = rows.to_table(columns=_FOLDED, filter=pc.field("is_readable")).sort_by(_PLACE)
    is_present = pc.equal(table["definition_digest"], DEFINITION_DIGEST)
    present = pd.MultiIndex.from_frame(table.filter(is_present).select(_ORIGIN).to_pandas())
    # After a failure the job repeats rows: the first of each record counts.
    is_first = ~table.select(_ORIGIN).to_pandas().duplicated().to_numpy()
    table = table.filter(pa.array(is_first))
    if until is not None:
        ends = table["origin_partition"].to_pandas().map(dict(until)).fillna(0)
        table = table.filter(pa.array((table["origin_offset"].to_pandas() < ends).to_numpy()))
    if not len(table):
        raise NoFeatureRowsError(
            f"the archive at {url} holds no feature rows to compute anew; see how far it goes with "
            "`weir archive status`"
        )
    origins = pd.MultiIndex.from_frame(table.select(_ORIGIN).to_pandas())
    return _with_columns(
        table,
        {
            "user_order": _order(table, "user_sequence"),
            "merchant_order": _order(table, "merchant_sequence") + MERCHANT_ORDER_FIRST,
            "labels_until": table["merchant_sequence"].to_numpy()
            - (~table["repeat"].to_numpy(zero_copy_only=False)).astype(np.int64),
            "is_old": ~origins.isin(present),
        },
    )


def folded_labels(url: str, *, until: NextOffsets | None) -> pa.Table:
    """Give the labels in the order of their log, with the columns of a label and its place.

    Args:
        url: of the archive.
        until: of `labels`, by partition: what comes before; None: everything.

    Raises:
        NoArchiveError: labels have not been archived.
    """
    columns = [*_LABEL, "log_partition", "log_offset", "log_timestamp_ms"]
    rows = ArchiveTable(url, LABELS).dataset()
    table = rows.to_table(columns=columns, filter=pc.field("is_readable")).sort_by(_PLACE)
    if until is not None:
        ends = table["log_partition"].to_pandas().map(dict(until)).fillna(0)
        table = table.filter(pa.array((table["log_offset"].to_pandas() < ends).to_numpy()))
    return table


def is_backfilled(url: str, folded: pa.Table) -> bool:
    """Whether every old row has its backfilled row of the present definitions already."""
    old = folded.filter(folded["is_old"])
    if not len(old):
        return True
    try:
        rows = ArchiveTable(url, BACKFILLED).dataset()
    except NoArchiveError:
        return False
    present = pc.field("definition_digest") == DEFINITION_DIGEST
    known = pd.MultiIndex.from_frame(rows.to_table(columns=_ORIGIN, filter=present).to_pandas())
    return bool(pd.MultiIndex.from_frame(old.select(_ORIGIN).to_pandas()).isin(known).all())


def backfilled_rows(values: Iterable[bytes], folded: pa.Table, *, limits: Limits) -> pa.Table:
    """Give the rows that stand for the old ones: values of now, place and clock of then.

    Args:
        values: every recomputed feature row as the codec encodes it, in any order.
        folded: what was folded, as `folded_rows` gives it.
        limits: what the deployment accepts.

    Raises:
        BackfillMismatchError: other rows came out than went in.
    """
    batches: list[pa.RecordBatch] = []
    rest = iter(values)
    while records := [Record(0, 0, 0, value) for value in islice(rest, _ROWS_AT_ONCE)]:
        batches += to_batches(BACKFILLED, records, limits=limits)
    rows = pa.Table.from_batches(batches, schema=SCHEMAS[BACKFILLED])
    origins = pd.MultiIndex.from_frame(folded.select(_ORIGIN).to_pandas())
    found = origins.get_indexer(pd.MultiIndex.from_frame(rows.select(_ORIGIN).to_pandas()))
    if len(rows) != len(folded) or (found < 0).any() or len(set(found)) != len(folded):
        raise BackfillMismatchError(
            f"{len(folded)} transactions were folded and {len(rows)} rows came out; nothing was "
            "written. Run it again, and look into Flink's log if it says so again"
        )
    before = folded.take(pa.array(found))
    moved = ("log_partition", "log_offset", "log_timestamp_ms", "computed_at_ms")
    for name in moved:
        at = rows.column_names.index(name)
        rows = rows.set_column(at, SCHEMAS[BACKFILLED].field(name), before[name])
    return rows.filter(before["is_old"]).sort_by(_PLACE).combine_chunks()


def compare_with_old(url: str, rows: pa.Table) -> Comparison:
    """Compare backfilled rows with the rows that they stand for, in the features that both have.

    The old rows were computed when the events arrived: equal values say that the backfill has
    folded what the stream folded, in its order.
    """
    places = pd.MultiIndex.from_frame(rows.select(["log_partition", "log_offset"]).to_pandas())
    wanted = pc.field("is_readable") & (pc.field("definition_digest") != DEFINITION_DIGEST)
    dataset = ArchiveTable(url, FEATURES).dataset()
    # A table gets the column of a feature that was added with the first row that has it.
    names = [name for name in FEATURE_NAMES if name in dataset.schema.names]
    old = dataset.to_table(columns=[*names, "log_partition", "log_offset"], filter=wanted)
    at = pd.MultiIndex.from_frame(old.select(["log_partition", "log_offset"]).to_pandas())
    old = old.take(pa.array(at.get_indexer(places)))
    compared = different = 0
    for name in names:
        theirs = old[name].to_numpy().astype(np.float64)
        ours = rows[name].to_numpy().astype(np.float64)
        # A column without any value is of a feature that the old definitions had not.
        if np.isnan(theirs).all():
            continue
        compared += len(ours)
        different += int((~((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)))).sum())
    return Comparison(compared, different)


def backfill_status(url: str) -> BackfillStatus | None:
    """Say what the table of backfilled rows holds; None if there is none, or none of its rows.

    Raises:
        ArchiveUnreachableError: the storage failed.
    """
    try:
        rows = ArchiveTable(url, BACKFILLED).dataset()
    except NoArchiveError:
        return None
    table = rows.to_table(columns=["definition_digest", "event_time_ms"])
    if not len(table):
        return None
    digest = table["definition_digest"][0].as_py()
    since = complete_since_ms(pc.min(table["event_time_ms"]).as_py())
    return BackfillStatus(len(table), digest, since if digest == DEFINITION_DIGEST else {})


def complete_since_ms(first_event_ms: int) -> dict[str, int]:
    """Say from which event time on each velocity feature sees its whole window.

    Before that its window reaches back to a time of which nothing is known.

    Args:
        first_event_ms: earliest event time that is known, ms since 1970 UTC.

    Examples:
        >>> complete_since_ms(0)["user_amount_sum_1h"]
        3600000
        >>> complete_since_ms(0)["merchant_fraud_rate_1d_delay_7d"] // 86_400_000
        8
    """
    return {
        feature.name: first_event_ms + feature.window_ms + feature.delay_ms
        for feature in (*USER_FEATURES, *MERCHANT_FEATURES)
    }


def _order(table: pa.Table, sequence: str) -> Any:
    """Ranks by a state's sequence; a repeat comes after the transaction that made it."""
    keys = (
        table["log_offset"].to_numpy(),
        table["log_partition"].to_numpy(),
        table["repeat"].to_numpy(zero_copy_only=False),
        table[sequence].to_numpy(),
    )
    order = np.empty(len(table), dtype=np.int64)
    order[np.lexsort(keys)] = np.arange(len(table))
    return order


def _with_columns(table: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table
