"""Predictions in PostgreSQL (15 or later): a table partitioned by date, run and part.

::

    predictions                                    by prediction_date
      weir_batch.predictions_2026_11_30            by run_id: one run for each model
        weir_batch.predictions_RUN_2026_11_30      by part
          weir_batch.predictions_RUN_00000         what one part has filled

A part fills a table of its own, which no reader sees. Publishing only changes the catalogue: it
attaches the tables of a run and drops those of the run before, in one transaction, whatever their
size.
A session lock says that a run is alive; tables of runs without one are removed by the next run.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from operations.batch_scoring.errors import PredictionsTableError, SinkUnreachableError
from operations.batch_scoring.sinks.sink import FilledPart, Run
from streams.batch_scoring.part_targets import CONNECT_S_MAX, CONSTANT_TYPES, STAGING_SCHEMA

_LOCK_S_MAX: Final = 60
"""How long publishing waits for readers of the predictions that it replaces, s."""
_COLUMNS: Final = {
    "entity": "text",
    "score": "double precision",
    "decision": "text",
    **CONSTANT_TYPES,
}
_RUNS: Final = sql.Identifier(STAGING_SCHEMA, "runs")
_PART_PATTERN: Final = "_([0-9a-f]{16})_[0-9]{5}$"
"""The end of the name of a part's table: the run and the number; see `PostgresSink.target`."""
_PUBLISHING_LOCK: Final = 0x57656972
"""Of those who change the partitions of any table of predictions."""

CREATE: Final = sql.SQL(
    """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {runs} (
    run_id text NOT NULL,
    prediction_table text NOT NULL,
    prediction_date date,
    model_name text NOT NULL,
    model_version text NOT NULL,
    data_version text NOT NULL,
    is_published boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS {table} ({columns}) PARTITION BY LIST (prediction_date);
"""
)

_DIGEST: Final = sql.SQL(
    """
SELECT count(*), count(DISTINCT entity), coalesce(sum(hashtextextended(concat_ws('|', entity,
    encode(float8send(score), 'hex'), decision, model_name, model_version, data_version,
    prediction_date), 0)), 0)::text
FROM {table} WHERE model_name = {model} AND prediction_date = ANY({dates}::date[])
"""
)


class PostgresSink:
    """One table of predictions in one database.

    Attributes:
        address: of the database.
    """

    def __init__(self, address: str, table: str) -> None:
        """Refer to a table; nothing is opened before the first call.

        Args:
            address: ``postgresql://...``
            table: name of the table of predictions, found by the search path.
        """
        self.address = address
        self._table = table
        self._alive: psycopg.Connection[Any] | None = None

    def create(self) -> None:
        """Create the table of predictions and the schema of its partitions, unless they exist."""
        columns = sql.SQL(", ").join(
            sql.SQL("{} {} NOT NULL").format(sql.Identifier(name), sql.SQL(kind))
            for name, kind in _COLUMNS.items()
        )
        with self._transaction() as connection:
            connection.execute(
                CREATE.format(
                    schema=sql.Identifier(STAGING_SCHEMA),
                    runs=_RUNS,
                    table=sql.Identifier(self._table),
                    columns=columns,
                )
            )

    def check(self) -> None:
        """See `sink.Sink`."""
        with self._transaction() as connection:
            found = connection.execute(
                "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute JOIN "
                "pg_partitioned_table ON partrelid = attrelid "
                "WHERE attrelid = to_regclass(quote_ident(%s)) AND attnum > 0 AND NOT attisdropped",
                [self._table],
            ).fetchall()
            has_runs = connection.execute(
                "SELECT to_regclass(%s)", [f"{STAGING_SCHEMA}.runs"]
            ).fetchone()
        advice = (
            "`weir batch create-table` creates it; a table of that name that is something else "
            "must be renamed first, or another name given with --table"
        )
        if not found or has_runs == (None,):
            raise PredictionsTableError(
                f"the database has no table {self._table!r} for predictions; {advice}"
            )
        if dict(found) != _COLUMNS:
            raise PredictionsTableError(
                f"table {self._table!r} has the columns {dict(found)}, must have {_COLUMNS}; "
                f"{advice}"
            )

    def begin(self, run: Run) -> None:
        """See `sink.Sink`."""
        with _errors():
            self._alive = psycopg.connect(
                self.address, connect_timeout=CONNECT_S_MAX, autocommit=True
            )
            self._alive.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [run.run_id])
        with self._transaction() as connection:
            self._forget_dead_runs(connection)
            connection.execute(
                sql.SQL("INSERT INTO {} VALUES (%s, %s, NULL, %s, %s, %s, false)").format(_RUNS),
                [run.run_id, self._table, run.model_name, run.model_version, run.data_version],
            )

    def target(self, run: Run, number: int) -> str:
        """See `sink.Sink`."""
        return f"{self._table}_{run.run_id}_{number:05d}"

    def publish(self, run: Run, parts: Sequence[FilledPart]) -> None:
        """See `sink.Sink`."""
        by_date: dict[str, list[FilledPart]] = defaultdict(list)
        for part in parts:
            by_date[part.prediction_date].append(part)
        with self._transaction() as connection:
            connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_S_MAX}s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_PUBLISHING_LOCK])
            for date, of_date in sorted(by_date.items()):
                self._publish_date(connection, run, date, of_date)
            _forget(connection, run.run_id)

    def discard(self, run: Run) -> None:
        """See `sink.Sink`."""
        try:
            with self._transaction() as connection:
                _forget(connection, run.run_id)
                _drop_orphans(connection)
        finally:
            if self._alive is not None:
                self._alive.close()
                self._alive = None

    def digest(self, model_name: str, dates: Sequence[str]) -> tuple[int, int, str]:
        """Compute what the table holds of a model and some dates, whatever the order of its rows.

        Returns:
            Rows, different entities, and a digest of all columns but ``run_id`` and ``part``.
        """
        query = _DIGEST.format(
            table=sql.Identifier(self._table),
            model=sql.Literal(model_name),
            dates=sql.Literal(list(dates)),
        )
        with self._transaction() as connection:
            found = connection.execute(query).fetchone()
        assert found is not None
        return found[0], found[1], found[2]

    def _publish_date(
        self, connection: psycopg.Connection[Any], run: Run, date: str, parts: Sequence[FilledPart]
    ) -> None:
        suffix = date.replace("-", "_")
        of_date = sql.Identifier(STAGING_SCHEMA, f"{self._table}_{suffix}")
        of_run = sql.Identifier(STAGING_SCHEMA, f"{self._table}_{run.run_id}_{suffix}")
        self._add_date(connection, of_date, date)
        replaced = connection.execute(
            sql.SQL(
                "DELETE FROM {} WHERE is_published AND prediction_table = %s AND "
                "prediction_date = %s AND model_name = %s RETURNING run_id"
            ).format(_RUNS),
            [self._table, date, run.model_name],
        ).fetchall()
        for (run_id,) in replaced:
            old = sql.Identifier(STAGING_SCHEMA, f"{self._table}_{run_id}_{suffix}")
            connection.execute(sql.SQL("DROP TABLE {}").format(old))
        connection.execute(
            sql.SQL(
                "CREATE TABLE {} PARTITION OF {} FOR VALUES IN ({}) PARTITION BY LIST (part)"
            ).format(of_run, of_date, sql.Literal(run.run_id))
        )
        for part in parts:
            connection.execute(
                sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})").format(
                    of_run, sql.Identifier(STAGING_SCHEMA, part.target), sql.Literal(part.number)
                )
            )
        connection.execute(
            sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, %s, %s, true)").format(_RUNS),
            [
                *(run.run_id, self._table, date),
                *(run.model_name, run.model_version, run.data_version),
            ],
        )

    def _add_date(
        self, connection: psycopg.Connection[Any], of_date: sql.Identifier, date: str
    ) -> None:
        """Add the partition of a date, unless it is there. Attaching waits for no reader."""
        name = of_date.as_string(connection)
        if connection.execute("SELECT to_regclass(%s)", [name]).fetchone() != (None,):
            return
        table = sql.Identifier(self._table)
        connection.execute(
            sql.SQL("CREATE TABLE {} (LIKE {}) PARTITION BY LIST (run_id)").format(of_date, table)
        )
        connection.execute(
            sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})").format(
                table, of_date, sql.Literal(date)
            )
        )

    def _forget_dead_runs(self, connection: psycopg.Connection[Any]) -> None:
        """Forget unpublished runs whose session has ended, and drop what no run will publish."""
        for (run_id,) in connection.execute(
            sql.SQL("SELECT run_id FROM {} WHERE NOT is_published").format(_RUNS)
        ).fetchall():
            is_dead = connection.execute(
                "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [run_id]
            ).fetchone() == (True,)
            if is_dead:
                _forget(connection, run_id)
        _drop_orphans(connection)

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[Any]]:
        with (
            _errors(),
            psycopg.connect(self.address, connect_timeout=CONNECT_S_MAX) as connection,
        ):
            yield connection


def _forget(connection: psycopg.Connection[Any], run_id: str) -> None:
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE run_id = %s AND NOT is_published").format(_RUNS), [run_id]
    )


def _drop_orphans(connection: psycopg.Connection[Any]) -> None:
    """Drop the tables of parts that are no partitions and belong to no unpublished run."""
    for (table,) in connection.execute(
        sql.SQL(
            "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace({schema}) AND "
            "relkind = 'r' AND NOT relispartition AND relname ~ {part} AND "
            "substring(relname FROM {part}) NOT IN (SELECT run_id FROM {runs} "
            "WHERE NOT is_published)"
        ).format(schema=sql.Literal(STAGING_SCHEMA), part=sql.Literal(_PART_PATTERN), runs=_RUNS)
    ).fetchall():
        name = sql.Identifier(STAGING_SCHEMA, table)
        connection.execute(sql.SQL("DROP TABLE {}").format(name))


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise SinkUnreachableError(
            f"PostgreSQL does not answer, or refuses: {str(error).strip()}; check that it runs and "
            "that the address, the password and the rights in --to are right. The predictions of "
            "earlier runs are as they were"
        ) from error
