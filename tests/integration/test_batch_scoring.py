"""`weir batch score` on a real Flink and a real PostgreSQL, from a small archive.

One module: its stack has a JobManager, the TaskManager for batch jobs, PostgreSQL and MLflow.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from deltalake import DeltaTable

from clients.mlflow_rest import MlflowRest
from features.definitions import DAY_MS, DEFINITION_DIGEST
from infra.local.flink_client import flink_client
from models.artifact.trees import Trees
from models.catalogue import transaction_model
from models.encoding.table import encode_table
from models.errors import DefinitionMismatchError
from operations.batch_scoring.errors import (
    NoRowsToScoreError,
    PredictionsTableError,
    ScoringFailedError,
    SinkUnreachableError,
)
from operations.batch_scoring.report import ScoringReport
from operations.batch_scoring.request import DayRange, EntitiesAsOf, Request
from operations.batch_scoring.run import Watch, score_batch
from operations.batch_scoring.sinks.postgres import PostgresSink
from schemas.settings import Settings
from tests.model_files import trained
from tests.scored_archive import FIRST_DAY_MS, write_archive
from tests.services import Services, unique_name
from training.registry.register import ModelRegistry

pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")

ROWS = 20_000
DAYS = 2
REPEATS = 50
PARTS = 40
DATES = ["2026-06-01", "2026-06-02"]
KILL_WAIT_S_MAX = 60.0


@dataclass(frozen=True)
class Scoring:
    """A stack that can score, and what is scored there."""

    services: Services
    settings: Settings
    request: Request

    def run(self, request: Request | None = None, **changes: Any) -> ScoringReport:
        stack = self.services.stack
        assert stack is not None
        return score_batch(
            self.settings,
            flink_client(stack, log="batch-score"),
            request or replace(self.request, **changes),
            now_ms=FIRST_DAY_MS + 3 * DAY_MS,
            watch=Watch(say=print, begin=lambda _: None, progress=lambda _: None),
        )

    def sink(self) -> PostgresSink:
        return PostgresSink(self.request.sink, self.request.table)

    def digest(self) -> tuple[int, int, str]:
        return self.sink().digest(self.request.model_name, DATES)

    def execute(self, text: str) -> None:
        with psycopg.connect(self.request.sink) as connection:
            connection.execute(text)

    def query(self, text: str) -> list[Any]:
        with psycopg.connect(self.request.sink) as connection:
            return connection.execute(text).fetchall()


@pytest.fixture(scope="module")
def scoring(
    local_services: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scoring]:
    stack = local_services.stack
    assert stack is not None
    stack.up(programs=["mlflow", "jobmanager", "batch", "postgres"])
    archive = str(tmp_path_factory.mktemp("batch") / "archive")
    write_archive(archive, ROWS, days=DAYS, users=500, repeats=REPEATS, chunk_rows=ROWS // PARTS)
    settings = stack.settings.model_copy(
        update={"archive_url": archive, "model_name": unique_name("batch")}
    )
    _register(settings, trained().files)
    request = Request(
        rows=DayRange(FIRST_DAY_MS, FIRST_DAY_MS + DAYS * DAY_MS),
        sink=settings.predictions_url,
        table="predictions",
        definition=transaction_model(settings),
        model_version=settings.champion_alias,
        entity_column="transaction_id",
        rows_a_part=ROWS // PARTS,
    )
    PostgresSink(request.sink, request.table).create()
    yield Scoring(local_services, settings, request)
    for program in ("batch", "jobmanager", "postgres"):
        stack.stop(program)


def _register(settings: Settings, files: Any) -> None:
    registry = ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name)
    version = registry.register(
        trained().forest, files, params={}, metrics={}, tags={}, files={}
    ).version
    MlflowRest(settings.mlflow_tracking_uri).set_alias(
        model=settings.model_name, alias=settings.champion_alias, version=version
    )


@pytest.fixture(scope="module")
def first(scoring: Scoring) -> ScoringReport:
    """The run whose predictions the failing ones must leave as they are."""
    return scoring.run()


def test_each_transaction_has_one_prediction_on_its_day_with_its_origin(
    scoring: Scoring, first: ScoringReport
) -> None:
    assert (first.rows, first.left_out) == (ROWS, REPEATS)
    assert first.parts >= PARTS
    assert scoring.digest()[:2] == (ROWS, ROWS)
    found = scoring.query(
        "SELECT prediction_date::text, model_name, model_version, data_version, run_id, count(*) "
        f"FROM predictions WHERE model_name = '{first.model_name}' "
        "GROUP BY 1, 2, 3, 4, 5 ORDER BY 1"
    )
    origin = (first.model_name, first.model_version, first.data_version, first.run_id)
    assert found == [(date, *origin, ROWS // DAYS) for date in DATES]
    assert sum(first.histogram) == sum(first.outcomes.values()) == ROWS


@pytest.mark.timeout(180)
def test_a_killed_taskmanager_changes_nothing(scoring: Scoring, first: ScoringReport) -> None:
    """The run is repeated, and killed while some parts are complete: the table is the same."""
    stack = scoring.services.stack
    assert stack is not None
    before = scoring.digest()
    killed: list[int] = []

    def kill_half_way(pid: int) -> None:
        root = stack.layout.checkpoints.parent
        deadline_s = time.monotonic() + KILL_WAIT_S_MAX
        while time.monotonic() < deadline_s:
            done = len(list(root.glob("batch-*/results/part-*.json")))
            if done >= 2:
                os.kill(pid, signal.SIGKILL)
                killed.append(done)
                return
            time.sleep(0.002)

    killer = threading.Thread(target=kill_half_way, args=[stack.pid("batch")])
    killer.start()
    report = scoring.run()
    killer.join()
    print(f"killed when {killed} of {report.parts} parts were complete")
    assert killed
    assert killed[0] < report.parts
    assert report.run_id != first.run_id
    assert report.drift is not None
    assert (report.drift.mean_change, report.drift.stability_index) == (0.0, 0.0)
    assert scoring.digest() == before
    assert_nothing_is_left(scoring)


def test_every_user_is_scored_once_from_the_newest_row_before_the_day(scoring: Scoring) -> None:
    as_of_ms = FIRST_DAY_MS + DAY_MS
    PostgresSink(scoring.request.sink, "by_user").create()
    scoring.run(
        rows=EntitiesAsOf(as_of_ms, active_ms=DAY_MS), entity_column="user_id", table="by_user"
    )
    rows = DeltaTable(f"{scoring.settings.archive_url}/features").to_pyarrow_table()
    table = rows.to_pandas()
    seen = table[table["event_time_ms"] < as_of_ms].sort_values(["event_time_ms", "log_offset"])
    # The repeats at the end of the log come again with other values; they do not count.
    newest = seen[seen["log_offset"] < ROWS].groupby("user_id").tail(1)
    vectors = encode_table(newest, trained().spec)
    expected = Trees(trained().files.trees).scores(vectors).tolist()
    found = dict(scoring.query("SELECT entity, score FROM by_user"))
    assert found == dict(zip(newest["user_id"], expected, strict=True))
    assert scoring.query("SELECT DISTINCT prediction_date FROM by_user") == [
        (datetime.fromtimestamp(as_of_ms / 1_000, UTC).date(),)
    ]


def fails(scoring: Scoring, error: type[Exception], match: str, run: Callable[[], object]) -> None:
    """The error says what to do, and the old predictions are untouched."""
    before = scoring.digest()
    with pytest.raises(error, match=match):
        run()
    assert scoring.digest() == before
    assert_nothing_is_left(scoring)


@pytest.mark.usefixtures("first")
def test_what_cannot_be_scored_is_refused_and_the_old_predictions_stay(scoring: Scoring) -> None:
    later = FIRST_DAY_MS + 90 * DAY_MS
    fails(
        scoring,
        NoRowsToScoreError,
        "name other days",
        lambda: scoring.run(rows=DayRange(later, later + DAY_MS)),
    )
    fails(
        scoring,
        PredictionsTableError,
        "weir batch create-table",
        lambda: scoring.run(table="elsewhere"),
    )
    closed = "postgresql://weir@127.0.0.1:1/weir"
    fails(scoring, SinkUnreachableError, "does not answer", lambda: scoring.run(sink=closed))
    other = scoring.settings.model_copy(update={"model_name": unique_name("other")})
    signature = trained().files.signature
    digest = DEFINITION_DIGEST.encode()
    _register(other, replace(trained().files, signature=signature.replace(digest, b"of-others")))
    renamed = replace(scoring.request.definition, name=other.model_name)
    fails(
        scoring,
        DefinitionMismatchError,
        "train again",
        lambda: scoring.run(definition=renamed),
    )


@pytest.mark.usefixtures("first")
def test_a_database_that_refuses_half_way_leaves_the_old_predictions(scoring: Scoring) -> None:
    """A part that PostgreSQL refuses ends the run at once; what was filled is removed."""
    scoring.execute(
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF (SELECT count(*) FROM pg_class WHERE relnamespace = 'weir_batch'::regnamespace AND "
        "NOT relispartition AND relkind = 'r') > 5 THEN "
        "RAISE 'no space left' USING ERRCODE = 'disk_full'; END IF; END $$; "
        "CREATE EVENT TRIGGER refusing ON ddl_command_end WHEN TAG IN ('CREATE TABLE') "
        "EXECUTE FUNCTION refuse()"
    )
    try:
        fails(scoring, ScoringFailedError, "disk of PostgreSQL is full", scoring.run)
    finally:
        scoring.execute("DROP EVENT TRIGGER refusing; DROP FUNCTION refuse()")


def assert_nothing_is_left(scoring: Scoring) -> None:
    """No table of a part that is no partition, and no directory of a run."""
    left = scoring.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'weir_batch'::regnamespace "
        "AND relkind = 'r' AND NOT relispartition AND relname <> 'runs'"
    )
    assert left == []
    stack = scoring.services.stack
    assert stack is not None
    assert list(stack.layout.checkpoints.parent.glob("batch-*")) == []
