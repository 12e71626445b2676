"""Where the scores of one part go: a table of its own in PostgreSQL, or a Parquet file of its own.

Delivery: a part is there as a whole or not at all, and a repeat begins by removing what an earlier
try left. Nothing that readers see is touched: `operations.batch_scoring` publishes all parts of a
run at once. Called by `stage`.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from psycopg import sql

from schemas.errors import RetryableError, WeirError
from streams.batch_scoring.binary_copy import COLUMNS, HEADER, TRAILER, binary_rows

STAGING_SCHEMA: Final = "weir_batch"
"""The schema of the tables that parts fill. Readers use ``predictions``, whose partitions these
become."""
CONNECT_S_MAX: Final = 10
"""Timeout of connecting to PostgreSQL, s."""

CONSTANT_TYPES: Final = {
    "model_name": "text",
    "model_version": "text",
    "data_version": "text",
    "run_id": "text",
    "prediction_date": "date",
    "part": "integer",
}
"""The columns of ``predictions`` that have one value in a whole part, and their types."""


class PartNotStoredError(WeirError):
    """The database or the disk did not take the scores of a part. Nothing was published."""


class TargetUnreachableError(RetryableError):
    """The database does not answer, or its connection was lost. Nothing was published."""


class PartTarget(Protocol):
    """Takes the scores of one part, batch by batch."""

    def write(
        self, entities: pa.Array, scores: NDArray[np.float64], decisions: pa.DictionaryArray
    ) -> None:
        """Take a batch: one score and one decision for each entity."""


@contextmanager
def postgres_table(
    address: str, table: str, *, constants: Mapping[str, str | int]
) -> Iterator[PartTarget]:
    """Fill a new table of the staging schema, in one transaction.

    The table is created in the transaction that fills it, so with ``wal_level = minimal``
    PostgreSQL writes no log of the rows; at the commit it forces the table itself to the disk.
    Columns with one value for the whole part are added afterwards, with a default: PostgreSQL
    notes the value once, in its catalogue. The checks let it attach the table as a partition
    without reading it.

    Args:
        address: ``postgresql://...``
        table: its name; a table of this name is dropped first.
        constants: value by column of `CONSTANT_TYPES`.

    Raises:
        PartNotStoredError: PostgreSQL refuses a statement, or its disk is full.
        TargetUnreachableError: PostgreSQL does not answer.
    """
    name = sql.Identifier(STAGING_SCHEMA, table)
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    try:
        # A dropped part may take long to be forced to the disk; there is no statement timeout.
        with psycopg.connect(address, connect_timeout=CONNECT_S_MAX) as connection:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(name))
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {} (entity text NOT NULL, score double precision NOT NULL, "
                    "decision text NOT NULL)"
                ).format(name)
            )
            copy = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT binary, FREEZE)")
            with connection.cursor().copy(copy.format(name, columns)) as stream:
                stream.write(HEADER)
                yield _PostgresRows(stream)
                stream.write(TRAILER)
            connection.execute(_add_constants(name, constants))
    except psycopg.errors.DiskFull as error:
        raise PartNotStoredError(
            f"the disk of PostgreSQL is full: {_told(error)}; free some space there and run the "
            "batch scoring again. The predictions of earlier runs are as they were"
        ) from error
    except psycopg.OperationalError as error:
        raise TargetUnreachableError(f"PostgreSQL does not answer: {_told(error)}") from error
    except psycopg.Error as error:
        raise PartNotStoredError(
            f"PostgreSQL did not take table {STAGING_SCHEMA}.{table}: {_told(error)}; the "
            "predictions of earlier runs are as they were"
        ) from error


@contextmanager
def parquet_file(path: Path, *, constants: Mapping[str, str | int]) -> Iterator[PartTarget]:
    """Fill a Parquet file, which gets its name once it is complete and on the disk.

    Args:
        path: of the file; a file of this name is replaced.
        constants: value by column, of those that the file is to have.

    Raises:
        PartNotStoredError: the disk did not take it.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            schema = _parquet_schema(constants)
            with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                yield _ParquetRows(writer, constants)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise PartNotStoredError(
            f"{path} could not be written: {error}; free some space, or name a directory on "
            "another disk. The predictions of earlier runs are as they were"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


class _PostgresRows:
    def __init__(self, stream: psycopg.Copy) -> None:
        self._stream = stream

    def write(
        self, entities: pa.Array, scores: NDArray[np.float64], decisions: pa.DictionaryArray
    ) -> None:
        self._stream.write(memoryview(binary_rows(entities, scores, decisions)))


class _ParquetRows:
    def __init__(self, writer: pq.ParquetWriter, constants: Mapping[str, str | int]) -> None:
        self._writer = writer
        self._constants = constants

    def write(
        self, entities: pa.Array, scores: NDArray[np.float64], decisions: pa.DictionaryArray
    ) -> None:
        schema = self._writer.schema
        values = [
            pa.repeat(pa.scalar(value, schema.field(name).type), len(entities))
            for name, value in self._constants.items()
        ]
        texts = decisions.cast(pa.string())
        rows = [entities, pa.array(scores), texts, *values]
        self._writer.write_batch(pa.RecordBatch.from_arrays(rows, schema=schema))


def _told(error: psycopg.Error) -> str:
    return " ".join(str(error).split())


def _parquet_schema(constants: Mapping[str, str | int]) -> pa.Schema:
    columns = [("entity", pa.string()), ("score", pa.float64()), ("decision", pa.string())]
    numbers = {True: pa.int32(), False: pa.string()}
    return pa.schema(
        [*columns, *((name, numbers[isinstance(each, int)]) for name, each in constants.items())]
    )


def _add_constants(name: sql.Identifier, constants: Mapping[str, str | int]) -> sql.Composed:
    changes: list[sql.Composable] = []
    for column, value in constants.items():
        changes.append(
            sql.SQL("ADD COLUMN {} {} NOT NULL DEFAULT {}").format(
                sql.Identifier(column), sql.SQL(CONSTANT_TYPES[column]), sql.Literal(value)
            )
        )
        if column in ("prediction_date", "run_id", "part"):
            changes.append(
                sql.SQL("ADD CHECK ({} = {})").format(sql.Identifier(column), sql.Literal(value))
            )
    return sql.SQL("ALTER TABLE {} {}").format(name, sql.SQL(", ").join(changes))
