"""Reads the rows of one part: batches with every column that is scored, and nothing left over.

Owns which rows of the files count, and the join with batch features. Called by `stage`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.batch import BATCH_AGE_MS_MAX, BATCH_VIEWS
from streams.batch_scoring.plan import Part, RowGroups

_KEPT_COLUMNS = ("is_readable", "definition_digest", "repeat")
_PLACE_COLUMNS = ("log_partition", "log_offset")
_SNAPSHOT_COLUMNS = ("user_id", "snapshot_ms")
_NO_HISTORY = {name: value for view in BATCH_VIEWS for name, value in view.no_history.items()}
_FALSE = pa.scalar(value=False)
_OFFSETS_A_PARTITION_MAX = 1 << 40
"""More than any log has; an offset and its partition fit into one integer."""


class Counted(NamedTuple):
    """A batch of rows, and how many were left out before it."""

    rows: pa.RecordBatch
    left_out: int


class BatchFeatures:
    """The batch features of a run, by user and snapshot; safe to use from several threads.

    The rule is that of `training.datasets.batch_join`: the newest snapshot of the user at or before
    the lookup time, unless it is too old.
    """

    def __init__(self, path: Path) -> None:
        """Read the file of a plan."""
        table = pq.read_table(path)
        self._names = [name for name in table.column_names if name not in _SNAPSHOT_COLUMNS]
        self._snapshots: list[tuple[int, pa.Array, pa.Table]] = []
        for snapshot_ms in sorted(table["snapshot_ms"].unique().to_pylist(), reverse=True):
            rows = table.filter(pc.equal(table["snapshot_ms"], snapshot_ms)).combine_chunks()
            users = rows["user_id"].combine_chunks()
            self._snapshots.append((snapshot_ms, users, rows))

    def join(self, rows: pa.RecordBatch, lookup_ms: NDArray[np.int64]) -> pa.RecordBatch:
        """Add the columns of the batch features.

        Args:
            rows: with ``user_id``.
            lookup_ms: for each row, as of when, ms since 1970 UTC.
        """
        values = {name: np.full(len(rows), _no_history(name)) for name in self._names}
        is_open = np.ones(len(rows), dtype=bool)
        for snapshot_ms, users, known in self._snapshots:
            is_usable = (lookup_ms >= snapshot_ms) & (lookup_ms - snapshot_ms <= BATCH_AGE_MS_MAX)
            if not (is_open & is_usable).any():
                continue
            found = pc.index_in(rows.column("user_id"), value_set=users)
            at = found.fill_null(-1).to_numpy(zero_copy_only=False)
            is_found = is_open & is_usable & (at >= 0)
            for name, column in values.items():
                taken = known[name].to_numpy()[at[is_found]]
                column[is_found] = np.where(np.isnan(taken), _no_history(name), taken)
            is_open &= ~is_found
        for name, column in values.items():
            rows = pa.RecordBatch.from_arrays(
                [*rows.columns, pa.array(column)], [*rows.schema.names, name]
            )
        return rows


class LeftOut:
    """The places of rows that are left out, such as repeats."""

    def __init__(self, path: Path | None) -> None:
        """Read the file of a plan; None: there are no such rows."""
        places = pq.read_table(path) if path else None
        self._places = None if places is None else pa.array(_joined_places(places))

    def is_kept(self, rows: pa.RecordBatch) -> pa.Array | None:
        """Say of each row whether it is kept; None: all are."""
        if self._places is None:
            return None
        return pc.invert(pc.is_in(pa.array(_joined_places(rows)), value_set=self._places))


def part_batches(
    part: Part,
    columns: Sequence[str],
    *,
    rows_at_once: int,
    definition_digest: str,
    left_out: LeftOut,
) -> Iterator[Counted]:
    """Give the rows of a part that count, in the order of the files.

    Args:
        part: where they are.
        columns: to read; one that a file does not have is null.
        rows_at_once: most rows of a batch.
        definition_digest: rows of other definitions are left out.
        left_out: which rows are left out beside them.
    """
    for place in part.inputs:
        for batch in _file_batches(place, columns, rows_at_once):
            is_wanted = _and_all(
                [
                    *_is_counted(batch, definition_digest),
                    *([kept] if (kept := _kept(left_out, batch)) is not None else []),
                ]
            )
            rows = batch if is_wanted is None else batch.filter(is_wanted)
            yield Counted(rows, len(batch) - len(rows))


def _file_batches(
    place: RowGroups, columns: Sequence[str], rows_at_once: int
) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(place.path) as file:
        names = set(file.schema_arrow.names)
        wanted = dict.fromkeys((*columns, *_KEPT_COLUMNS, *_PLACE_COLUMNS))
        known = [name for name in wanted if name in names]
        absent = [name for name in columns if name not in names]
        for batch in file.iter_batches(
            batch_size=rows_at_once,
            row_groups=list(range(place.first, place.end)),
            columns=known,
            use_threads=False,
        ):
            nulls = [pa.nulls(len(batch), pa.float64()) for _ in absent]
            yield pa.RecordBatch.from_arrays(
                [*batch.columns, *nulls], [*batch.schema.names, *absent]
            )


def _is_counted(batch: pa.RecordBatch, definition_digest: str) -> list[pa.Array]:
    names = batch.schema.names
    conditions = []
    if "is_readable" in names:
        conditions.append(batch.column("is_readable").fill_null(_FALSE))
    if "repeat" in names:
        conditions.append(pc.invert(batch.column("repeat").fill_null(_FALSE)))
    if "definition_digest" in names:
        digest = pc.equal(batch.column("definition_digest"), definition_digest)
        conditions.append(digest.fill_null(_FALSE))
    return conditions


def _kept(left_out: LeftOut, batch: pa.RecordBatch) -> pa.Array | None:
    return left_out.is_kept(batch) if set(_PLACE_COLUMNS) <= set(batch.schema.names) else None


def _and_all(conditions: Sequence[pa.Array]) -> pa.Array | None:
    """All conditions at once; None if they leave nothing out."""
    result: pa.Array | None = None
    for condition in conditions:
        result = condition if result is None else pc.and_(result, condition)
    return None if result is None or pc.all(result).as_py() else result


def _joined_places(rows: pa.Table | pa.RecordBatch) -> NDArray[np.int64]:
    partitions, offsets = (
        np.asarray(rows.column(name).to_numpy(), dtype=np.int64) for name in _PLACE_COLUMNS
    )
    return partitions * _OFFSETS_A_PARTITION_MAX + offsets


def _no_history(name: str) -> float:
    value = _NO_HISTORY[name]
    return np.nan if value is None else float(value)
