"""A data set in memory: its rows, its version, and the files that describe it.

Knows neither the archive nor MLflow. Built by `training.datasets.build`; `weir dataset` prints its
report, and `training.registry.dataset_log` logs it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
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
from training.datasets.split import Split, SplitKind, split_table
from training.datasets.split_checks import parts_report
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

    @cached_property
    def split(self) -> Split | None:
        """Its train, validation and test rows, as its version says; None if it has no split."""
        kind = self.version.split
        return None if kind is None else split_table(self.table, SplitKind(kind))

    def row_files(self) -> Mapping[str, bytes]:
        """Give the rows as Parquet files, by name, with the version in their metadata.

        Returns:
            ``rows.parquet``; with a split, ``train.parquet``, ``validation.parquet`` and
            ``test.parquet`` instead. Equal versions give equal bytes.
        """
        if self.split is None:
            return {"rows.parquet": self.parquet()}
        return {
            f"{name}.parquet": self._parquet(part, {"weir.part": name})
            for name, part in self.split.parts().items()
        }

    def parquet(self) -> bytes:
        """Give the whole table as a Parquet file, with the version in its metadata."""
        return self._parquet(self.table, {})

    def describing_files(self) -> Mapping[str, bytes]:
        """Give the files that describe the data set, by name, without its rows.

        Returns:
            ``report.json`` and ``statistics.csv``; with a split, also the statistics of each part,
            ``statistics-train.csv`` and so on.
        """
        parts = {} if self.split is None else self.split.parts()
        return {
            "report.json": self.report().encode(),
            "statistics.csv": self.statistics_csv(),
            **{f"statistics-{name}.csv": _statistics_csv(part) for name, part in parts.items()},
        }

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
        if self.split is not None:
            figures["parts"] = parts_report(self.split)
        return json.dumps(figures, indent=1)

    def statistics_csv(self) -> bytes:
        """Give the `statistics` of the table as a CSV file."""
        return _statistics_csv(self.table)

    def _parquet(self, rows: pd.DataFrame, about: Mapping[str, str]) -> bytes:
        table = pa.Table.from_pandas(rows, preserve_index=False)
        table = table.replace_schema_metadata({"weir.dataset": self.version.to_json(), **about})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()


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


def _statistics_csv(table: pd.DataFrame) -> bytes:
    return bytes(statistics(table).to_csv(index_label="column").encode())
