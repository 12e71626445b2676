"""Has Flink compute the snapshots of batch features, instead of the process that stores them.

Bridges the rooms: tables of the archive become CSV files, which `streams.batch_features.job`
queries, and its answers become snapshots again. Which rows of the archive count, which snapshots
are missing and how they are stored is `training.datasets.materialization`; the query is
`features.batch_query`. Called by `weir materialize --flink`.
"""

import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from features.batch import BatchView
from features.batch_query import (
    MIDNIGHT_TYPES,
    OBSERVATION_TYPES,
    TRANSACTION_TYPES,
    needs_observations,
    snapshot_query,
    snapshot_types,
)
from features.definitions import DAY_MS
from operations.flink_client import FlinkClient, free_slots
from operations.fresh_archive import bring_up_to_date
from schemas.errors import WeirError
from schemas.settings import Settings
from streams.batch_features.plan import BatchFeaturesPlan, CsvTable
from streams.velocity.cluster import checkpoints_dir
from training.datasets.batch_tables import midnight_rows, observation_rows, snapshot_rows
from training.datasets.materialization import Computed, Materialized, materialize

ROWS_A_FILE: Final = 500_000
"""One task reads a file from its beginning to its end, so several tasks need several files."""
_ARROW_TYPES: Final = {"STRING": pa.string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64()}


class BatchFeaturesFailedError(WeirError):
    """The Flink job of batch features has failed. No snapshot of it was stored."""


def materialize_on_flink(settings: Settings, client: FlinkClient, *, now_ms: int) -> Materialized:
    """Update the batch tables up to the last midnight on Flink, and write its values to Redis.

    The archive is brought up to date first: a snapshot is computed once, and what is archived later
    is not in it.

    Delivery: as `materialize`. All missing snapshots are computed before the first is stored. If
    none is missing, Flink is not asked.
    Blocks: as long as the job takes.

    Args:
        settings: where archive, registry, Redis and Flink are; paths are absolute.
        client: how to submit a job to Flink.
        now_ms: the clock, ms since 1970 UTC.

    Raises:
        NoFreeSlotsError: Flink does not answer, or has no free slot.
        BatchFeaturesFailedError: the job failed.
        WeirError: as `materialize`.
    """
    bring_up_to_date(settings)
    compute = partial(snapshots_on_flink, settings, client)
    return materialize(settings, now_ms=now_ms, compute=compute)


def snapshots_on_flink(
    settings: Settings,
    client: FlinkClient,
    transactions: pa.Table,
    observations: pd.DataFrame,
    missing: Mapping[BatchView, Sequence[int]],
) -> Iterator[Computed]:
    """Compute snapshots on Flink: a `training.datasets.materialization.ComputeSnapshots`.

    Raises:
        NoFreeSlotsError: Flink does not answer, or has no free slot.
        BatchFeaturesFailedError: the job failed.
    """
    if not missing:
        return
    slots = free_slots(settings.flink_rest_url)
    directory = _new_directory(settings)
    try:
        inputs = {"transactions": _needed(transactions, missing)}
        inputs["observations"] = observation_rows(observations)
        inputs |= {_midnights(view): midnight_rows(days) for view, days in missing.items()}
        plan = _plan(missing, directory, parallelism=slots)
        for table in plan.tables:
            _write(inputs[table.name].select(list(table.columns)), Path(table.path))
        plan.write(directory / "plan.json")
        arguments = [str(directory / "plan.json")]
        if not client.run("streams.batch_features.job", arguments, scratch=directory):
            raise BatchFeaturesFailedError(
                "the Flink job of batch features failed; no snapshot was stored, and the values in "
                f"Redis stay until they are too old. {client.keep_log(directory)}"
            )
        for (view, days), answer in zip(missing.items(), plan.answers, strict=True):
            yield Computed(view, days[-1], snapshot_rows(_read(answer), view))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _plan(
    missing: Mapping[BatchView, Sequence[int]], directory: Path, *, parallelism: int
) -> BatchFeaturesPlan:
    types = {"transactions": TRANSACTION_TYPES}
    if any(map(needs_observations, missing)):
        types["observations"] = OBSERVATION_TYPES
    types |= {_midnights(view): MIDNIGHT_TYPES for view in missing}
    return BatchFeaturesPlan(
        tables=tuple(
            CsvTable(name, str(directory / name), columns) for name, columns in types.items()
        ),
        answers=tuple(
            CsvTable(view.name, str(directory / view.name), snapshot_types(view))
            for view in missing
        ),
        queries=tuple(snapshot_query(view, midnights=_midnights(view)) for view in missing),
        parallelism=parallelism,
    )


def _midnights(view: BatchView) -> str:
    return f"{view.name}_midnights"


def _needed(transactions: pa.Table, missing: Mapping[BatchView, Sequence[int]]) -> pa.Table:
    """Leave out the transactions that are in no window."""
    first_ms = min(days[0] * DAY_MS - view.window_ms for view, days in missing.items())
    end_ms = max(days[-1] for days in missing.values()) * DAY_MS
    times = transactions["event_time_ms"]
    is_inside = pc.and_(pc.greater_equal(times, first_ms), pc.less(times, end_ms))
    return transactions.filter(is_inside)


def _write(rows: pa.Table, directory: Path) -> None:
    directory.mkdir()
    options = pyarrow.csv.WriteOptions(include_header=False)
    # At least one file: a table without rows is an empty file.
    for number, start in enumerate(range(0, max(1, len(rows)), ROWS_A_FILE)):
        some = rows.slice(start, ROWS_A_FILE)
        pyarrow.csv.write_csv(some, directory / f"{number}.csv", options)


def _read(answer: CsvTable) -> pa.Table:
    types = {name: _ARROW_TYPES[kind] for name, kind in answer.columns.items()}
    # Flink creates the directory with the first row. It hides files that are not complete.
    files = [
        pyarrow.csv.read_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(column_names=list(types)),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types),
        )
        for file in sorted(Path(answer.path).glob("part-*"))
    ]
    return pa.concat_tables([pa.schema(types).empty_table(), *files])


def _new_directory(settings: Settings) -> Path:
    """Make a directory with a new name: the job of a client that was killed may still be running.

    What killed clients have left is deleted. If a client is still at work, its job fails: of two
    at the same time only one could store its snapshots.
    """
    root = checkpoints_dir(settings).parent
    for left in root.glob("batch-features-*"):
        shutil.rmtree(left, ignore_errors=True)
    directory = root / f"batch-features-{uuid.uuid4().hex[:12]}"
    directory.mkdir(parents=True, mode=0o700)
    return directory
