"""The rows that a backfill computed: they replace rows of other definitions, at the same offset.

Called by `operations.backfill` after the folds on Flink; `training.archive.feature_rows` reads the
table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clients.log_record import Record
from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas.topics import FEATURES
from schemas.transaction import Limits
from training.archive.backfill_input import ORIGIN
from training.archive.columns import to_batches
from training.archive.scan import IS_PRESENT, LOG_OFFSET, LOG_ORDER
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED, SCHEMAS
from training.errors import BackfillMismatchError, NoArchiveError

_ROWS_AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """Old and new values of the features that both definitions have.

    Attributes:
        compared: number of values.
        different: number of values that are not equal.
    """

    compared: int
    different: int


def is_backfilled(url: str, folded: pa.Table) -> bool:
    """Whether every old row has its backfilled row of the present definitions already."""
    old = folded.filter(folded["is_old"])
    if not len(old):
        return True
    try:
        rows = ArchiveTable(url, BACKFILLED).dataset()
    except NoArchiveError:
        return False
    known = pd.MultiIndex.from_frame(rows.to_table(columns=ORIGIN, filter=IS_PRESENT).to_pandas())
    return bool(pd.MultiIndex.from_frame(old.select(ORIGIN).to_pandas()).isin(known).all())


def backfilled_rows(values: Iterable[bytes], folded: pa.Table, *, limits: Limits) -> pa.Table:
    """Give the rows that replace the old ones: new values at the old log offset and times.

    Args:
        values: every recomputed feature row as the codec encodes it, in any order.
        folded: what was folded, as `training.archive.backfill_input.folded_rows` gives it.
        limits: what the deployment accepts.

    Raises:
        BackfillMismatchError: the recomputed rows are not those of the folded transactions.
    """
    batches: list[pa.RecordBatch] = []
    rest = iter(values)
    while records := [Record(0, 0, 0, value) for value in islice(rest, _ROWS_AT_ONCE)]:
        batches += to_batches(BACKFILLED, records, limits=limits)
    rows = pa.Table.from_batches(batches, schema=SCHEMAS[BACKFILLED])
    origins = pd.MultiIndex.from_frame(folded.select(ORIGIN).to_pandas())
    found = origins.get_indexer(pd.MultiIndex.from_frame(rows.select(ORIGIN).to_pandas()))
    if len(rows) != len(folded) or (found < 0).any() or len(set(found)) != len(folded):
        raise BackfillMismatchError(
            f"{len(folded)} transactions were folded and {len(rows)} rows came out; nothing was "
            "written. Run it again; if it fails again, look into Flink's log"
        )
    before = folded.take(pa.array(found))
    moved = ("log_partition", "log_offset", "log_timestamp_ms", "computed_at_ms")
    for name in moved:
        at = rows.column_names.index(name)
        rows = rows.set_column(at, SCHEMAS[BACKFILLED].field(name), before[name])
    return rows.filter(before["is_old"]).sort_by(LOG_ORDER).combine_chunks()


def compare_with_old(url: str, rows: pa.Table) -> Comparison:
    """Compare backfilled rows with the rows that they replace, in the features that both have.

    The old rows were computed when the events arrived. Equal values show that the backfill folded
    the same events as the stream, in the same order.
    """
    places = pd.MultiIndex.from_frame(rows.select(LOG_OFFSET).to_pandas())
    wanted = pc.field("is_readable") & (pc.field("definition_digest") != DEFINITION_DIGEST)
    dataset = ArchiveTable(url, FEATURES).dataset()
    # A feature that was added has no column before the first row that has it is archived.
    names = [name for name in FEATURE_NAMES if name in dataset.schema.names]
    old = dataset.to_table(columns=[*names, *LOG_OFFSET], filter=wanted)
    at = pd.MultiIndex.from_frame(old.select(LOG_OFFSET).to_pandas())
    old = old.take(pa.array(at.get_indexer(places)))
    compared = different = 0
    for name in names:
        theirs = old[name].to_numpy().astype(np.float64)
        ours = rows[name].to_numpy().astype(np.float64)
        # The old definitions do not have a feature that is null in all old rows.
        if np.isnan(theirs).all():
            continue
        compared += len(ours)
        different += int((~((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)))).sum())
    return Comparison(compared, different)
