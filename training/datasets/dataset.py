"""A data set in memory: its rows, its version, and the files that describe it.

Knows neither the archive nor MLflow. Built by `training.datasets.build`; `weir dataset` prints its
report, and `training.registry.dataset_log` logs it.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.batch import BATCH_NAMES
from features.definitions import FEATURE_NAMES
from training.archive.tables import TRANSACTION_COLUMNS
from training.datasets.lineage import table_digest
from training.datasets.version import DatasetVersion

COLUMNS: Final = (
    *TRANSACTION_COLUMNS,
    *FEATURE_NAMES,
    *BATCH_NAMES,
    "log_partition",
    "log_offset",
    "is_fraud",
)
"""Columns of a data set, in their order."""


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        table: columns `COLUMNS`, ordered by event time; ties keep the order of the log.
        version: what it was built from.
        repeats: rows of its range that were left out, because their transaction has an earlier
            row.
        immature: rows of its range that were left out, because they were too young.
    """

    table: pd.DataFrame
    version: DatasetVersion
    repeats: int
    immature: int

    @cached_property
    def rows_digest(self) -> str:
        """16 hexadecimal digits over the rows, see `training.datasets.lineage.table_digest`."""
        return table_digest(self.table)

    def parquet(self) -> bytes:
        """Give the table as a Parquet file, with the version in its metadata."""
        table = pa.Table.from_pandas(self.table, preserve_index=False)
        table = table.replace_schema_metadata({"weir.dataset": self.version.to_json()})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()

    def report(self) -> str:
        """Give counts, digests and the version as JSON."""
        frauds = int(self.table["is_fraud"].sum())
        figures = {
            "digest": self.version.digest,
            "rows_digest": self.rows_digest,
            "rows": len(self.table),
            "frauds": frauds,
            "fraud_share": frauds / len(self.table),
            "repeats": self.repeats,
            "immature": self.immature,
            "version": json.loads(self.version.to_json()),
        }
        return json.dumps(figures, indent=1)

    def statistics_csv(self) -> bytes:
        """Give the `statistics` of the table as a CSV file."""
        return bytes(statistics(self.table).to_csv(index_label="column").encode())


def statistics(table: pd.DataFrame) -> pd.DataFrame:
    """Describe each numeric column of a labelled table.

    Returns:
        One row a column, indexed by its name: ``rows``, ``nulls``, ``mean``, ``std``, ``min``,
        ``median``, ``max``, ``mean_fraud``, ``mean_legitimate``.
    """
    numbers = table.select_dtypes("number")
    is_fraud = table["is_fraud"].to_numpy(dtype=bool)
    return pd.DataFrame(
        {
            "rows": len(numbers),
            "nulls": numbers.isna().sum(),
            "mean": numbers.mean(),
            "std": numbers.std(),
            "min": numbers.min(),
            "median": numbers.median(),
            "max": numbers.max(),
            "mean_fraud": numbers[is_fraud].mean(),
            "mean_legitimate": numbers[~is_fraud].mean(),
        }
    )
