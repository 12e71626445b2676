"""Predictions in a Delta table, partitioned by date and model.

Parts are Parquet files inside the table's directory that no commit names; publishing is one commit
that names them and takes away those of the run before.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction

from operations.batch_scoring.errors import PredictionsTableError, SinkUnreachableError
from operations.batch_scoring.sinks.sink import FilledPart, Run

PARTITION_COLUMNS: Final = ("prediction_date", "model_name")
_FILE_COLUMNS: Final = (
    pa.field("entity", pa.string()),
    pa.field("score", pa.float64()),
    pa.field("decision", pa.string()),
    pa.field("model_version", pa.string()),
    pa.field("data_version", pa.string()),
    pa.field("run_id", pa.string()),
)
SCHEMA: Final = pa.schema(
    [*_FILE_COLUMNS, pa.field("prediction_date", pa.date32()), pa.field("model_name", pa.string())]
)


class DeltaSink:
    """One Delta table in a local directory."""

    address = ""

    def __init__(self, directory: Path, table: str) -> None:
        """Refer to a table; it is created by the first run.

        Args:
            directory: that holds the tables.
            table: name of the table of predictions.
        """
        self._path = directory.resolve() / table

    def check(self) -> None:
        """See `sink.Sink`."""
        try:
            if not DeltaTable.is_deltatable(str(self._path)):
                return
            found = DeltaTable(str(self._path)).schema().fields
        except (DeltaError, OSError) as error:
            raise SinkUnreachableError(f"{self._path} cannot be read: {error}") from error
        if {field.name for field in found} != set(SCHEMA.names):
            raise PredictionsTableError(
                f"the Delta table {self._path} has other columns than {SCHEMA.names}; name another "
                "directory or another --table"
            )

    def begin(self, run: Run) -> None:  # noqa: ARG002 - of the protocol
        """See `sink.Sink`. Parts of runs that were killed are files that no commit names."""
        self._path.mkdir(parents=True, exist_ok=True)

    def target(self, run: Run, number: int) -> str:
        """See `sink.Sink`."""
        return str(self._path / _file_name(run, number))

    def publish(self, run: Run, parts: Sequence[FilledPart]) -> None:
        """See `sink.Sink`."""
        dates = sorted({part.prediction_date for part in parts})
        try:
            table = DeltaTable.create(
                str(self._path), schema=SCHEMA, mode="ignore", partition_by=list(PARTITION_COLUMNS)
            )
            table.create_write_transaction(
                [_add(run, part) for part in parts],
                mode="overwrite",
                schema=Schema.from_arrow(SCHEMA),
                partition_by=list(PARTITION_COLUMNS),
                partition_filters=[
                    ("prediction_date", "in", dates),
                    ("model_name", "=", run.model_name),
                ],
            )
        except (DeltaError, OSError) as error:
            raise SinkUnreachableError(
                f"{self._path} did not take the predictions: {error}; those of earlier runs are as "
                "they were"
            ) from error

    def discard(self, run: Run) -> None:
        """See `sink.Sink`. Deletes the files of the run that no commit names."""
        named: set[str] = set()
        if DeltaTable.is_deltatable(str(self._path)):
            actions = pa.table(DeltaTable(str(self._path)).get_add_actions())
            named = set(actions["path"].to_pylist())
        for file in self._path.glob(f"*{run.run_id}*.parquet*"):
            if file.name not in named:
                file.unlink(missing_ok=True)


def _add(run: Run, part: FilledPart) -> AddAction:
    file = Path(part.target)
    stat = file.stat()
    return AddAction(
        file.name,
        stat.st_size,
        {"prediction_date": part.prediction_date, "model_name": run.model_name},
        int(stat.st_mtime * 1_000),
        data_change=True,
        stats=json.dumps({"numRecords": part.rows}),
    )


def _file_name(run: Run, number: int) -> str:
    return f"{run.run_id}-{number:05d}.parquet"
