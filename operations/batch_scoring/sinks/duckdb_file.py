"""Predictions in a table of a DuckDB file.

Parts are Parquet files beside the database; publishing reads them in one transaction, which deletes
the predictions of the run before. For small data and notebooks: a DuckDB file has one writer.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from operations.batch_scoring.errors import PredictionsTableError, SinkUnreachableError
from operations.batch_scoring.sinks.sink import FilledPart, Run

_COLUMNS: Final = {
    "entity": "VARCHAR",
    "score": "DOUBLE",
    "decision": "VARCHAR",
    "model_name": "VARCHAR",
    "model_version": "VARCHAR",
    "data_version": "VARCHAR",
    "run_id": "VARCHAR",
    "prediction_date": "DATE",
}


class DuckDbSink:
    """One table in one DuckDB file."""

    address = ""

    def __init__(self, file: Path, table: str) -> None:
        """Refer to a table; file and table are created by the first run.

        Args:
            file: of the database.
            table: name of the table of predictions.
        """
        self._file = file.resolve()
        self._table = table
        self._name = '"' + table.replace('"', '""') + '"'
        self._parts = self._file.with_name(f"{self._file.name}.parts")

    def check(self) -> None:
        """See `sink.Sink`."""
        if not self._file.exists():
            return
        with self._open() as database:
            found = database.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?",
                [self._table],
            ).fetchall()
        if found and dict(found) != _COLUMNS:
            raise PredictionsTableError(
                f"table {self._table!r} in {self._file} has the columns {dict(found)}, must have "
                f"{_COLUMNS}; name another file or another --table"
            )

    def begin(self, run: Run) -> None:
        """See `sink.Sink`."""
        self._parts_of(run).mkdir(parents=True, exist_ok=True)

    def target(self, run: Run, number: int) -> str:
        """See `sink.Sink`."""
        return str(self._parts_of(run) / f"{number:05d}.parquet")

    def publish(self, run: Run, parts: Sequence[FilledPart]) -> None:
        """See `sink.Sink`."""
        columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in _COLUMNS.items())
        given = ", ".join(name for name in _COLUMNS if name != "prediction_date")
        with self._open() as database:
            database.execute("BEGIN")
            database.execute(f"CREATE TABLE IF NOT EXISTS {self._name} ({columns})")
            for date in sorted({part.prediction_date for part in parts}):
                files = [part.target for part in parts if part.prediction_date == date]
                database.execute(
                    f"DELETE FROM {self._name} WHERE prediction_date = ? AND model_name = ?",  # noqa: S608
                    [date, run.model_name],
                )
                database.execute(
                    f"INSERT INTO {self._name} SELECT {given}, ?::DATE FROM read_parquet(?)",  # noqa: S608
                    [date, files],
                )
            database.execute("COMMIT")

    def discard(self, run: Run) -> None:
        """See `sink.Sink`."""
        shutil.rmtree(self._parts_of(run), ignore_errors=True)

    def _parts_of(self, run: Run) -> Path:
        return self._parts / run.run_id

    @contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with duckdb.connect(str(self._file)) as database:
                yield database
        except (duckdb.Error, OSError) as error:
            raise SinkUnreachableError(
                f"the DuckDB file {self._file} cannot be used: {error}; close other programs that "
                "have it open. The predictions of earlier runs are as they were"
            ) from error
