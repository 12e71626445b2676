"""What a backfill folds again: every transaction and label of the archive, with its order.

Knows no Flink and no backfilled row. `operations.backfill` reads these tables and hands them to the
folds on Flink.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.definitions import DEFINITION_DIGEST
from schemas.topics import FEATURES, LABELS
from training.archive.scan import LOG_OFFSET, NextOffsets, scan
from training.errors import NoFeatureRowsError

ORIGIN: Final = ["origin_partition", "origin_offset"]
"""The columns that say where the transaction of a feature row is in the log."""
_MERCHANT_ORDER_FIRST: Final = 1 << 40
"""First position of a merchant's transactions; its labels have the positions from 0 on."""
_FOLDED: Final = [
    *("transaction_id", "user_id", "merchant_id", "amount_minor", "currency", "event_time_ms"),
    *("device_type", "ip_country"),
    *(*ORIGIN, "origin_timestamp_ms", "repeat", "user_sequence", "merchant_sequence"),
    *("definition_digest", "computed_at_ms", *LOG_OFFSET, "log_timestamp_ms"),
]
_LABEL: Final = ["transaction_id", "merchant_id", "event_time_ms", "observed_time_ms", "is_fraud"]


def folded_rows(url: str, *, until: NextOffsets | None) -> pa.Table:
    """Give every transaction that was folded, once, with its positions in the folds.

    A feature row contains its transaction, and its sequences say in which order the states of its
    user and its merchant folded it. Records that were refused have no row and are not folded.

    Args:
        url: of the archive.
        until: fold the transactions before these offsets of their topic; None: all.

    Returns:
        Columns `_FOLDED`, ``user_order``, ``merchant_order``, ``labels_until`` (see
        `streams.backfill.frames.FoldPlace`) and ``is_old``: no row of the present definitions
        has been logged. In the order of the feature log.

    Raises:
        NoArchiveError: nothing has been archived yet.
        ArchiveUnreachableError: the storage failed.
        NoFeatureRowsError: there is nothing to fold.
    """
    table = scan(url, FEATURES, _FOLDED)
    is_present = pc.equal(table["definition_digest"], DEFINITION_DIGEST)
    present = pd.MultiIndex.from_frame(table.filter(is_present).select(ORIGIN).to_pandas())
    # After a failure the job repeats rows; the first row of each record counts.
    is_first = ~table.select(ORIGIN).to_pandas().duplicated().to_numpy()
    table = table.filter(pa.array(is_first))
    if until is not None:
        ends = table["origin_partition"].to_pandas().map(dict(until)).fillna(0)
        table = table.filter(pa.array((table["origin_offset"].to_pandas() < ends).to_numpy()))
    if not len(table):
        raise NoFeatureRowsError(
            f"the archive at {url} holds no feature rows to compute again; see how far it reaches "
            "with `weir archive status`"
        )
    origins = pd.MultiIndex.from_frame(table.select(ORIGIN).to_pandas())
    return _with_columns(
        table,
        {
            "user_order": _order(table, "user_sequence"),
            "merchant_order": _order(table, "merchant_sequence") + _MERCHANT_ORDER_FIRST,
            "labels_until": table["merchant_sequence"].to_numpy()
            - (~table["repeat"].to_numpy(zero_copy_only=False)).astype(np.int64),
            "is_old": ~origins.isin(present),
        },
    )


def folded_labels(url: str, *, until: NextOffsets | None) -> pa.Table:
    """Give the labels in the order of their log: the fields of a label, log offset and time.

    Args:
        url: of the archive.
        until: give the labels before these offsets of their topic; None: all.

    Raises:
        NoArchiveError: labels have not been archived.
        ArchiveUnreachableError: the storage failed.
    """
    return scan(url, LABELS, [*_LABEL, *LOG_OFFSET, "log_timestamp_ms"], until=until)


def _order(table: pa.Table, sequence: str) -> Any:
    """Give the rank of each row by a state's sequence; a repeat comes after its transaction."""
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
