"""Batch scoring: 10 million rows into PostgreSQL, the same with a kill, and against the stream.

`--rows` says how many rows, `--only` which parts. The rows are made up once and kept in `.cache`;
the model has the size that training chooses by default. PostgreSQL runs with fsync on.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from deltalake import DeltaTable

from features.definitions import DAY_MS, DEFINITION_DIGEST
from infra.local.flink_client import flink_client
from infra.local.layout import REPO
from infra.local.stack import Stack
from models.artifact.compile_forest import compile_forest
from models.catalogue import transaction_model
from models.encoding.table import encode_table, vector_spec
from operations.batch_scoring.report import ScoringReport
from operations.batch_scoring.request import DayRange, Request
from operations.batch_scoring.run import Watch, score_batch
from operations.batch_scoring.sinks.postgres import PostgresSink
from schemas.settings import Settings
from tests.bench import results
from tests.bench.bench_stack import BenchStack, say
from tests.scored_archive import FIRST_DAY_MS, write_archive
from tests.services import local_services
from training.fitting.fit import ForestParameters, fit_forest
from training.registry.register import ModelRegistry

Row = dict[str, Any]

CACHE = REPO / ".cache" / "bench"
PROGRAMS = ("mlflow", "jobmanager", "batch", "postgres")
FITTED_ROWS = 60_000
FRAUD_SHARE = 0.02
STREAM_EVENTS = 110_000
"""Decided by the stream, then scored again; at least 100,000 of them after the warm-up."""
ARCHIVED_S_MAX = 120
EPOCH_DAYS = 36_500


def batch_scoring(choices: Any) -> dict[str, Any]:
    """Measure every part that was asked for."""
    measured: dict[str, Row] = {}
    wanted = choices.only or PARTS
    if {"plain", "killed"} & set(wanted):
        with _scoring(choices.rows) as scoring:
            for name in ("plain", "killed"):
                if name in wanted:
                    runs = [PARTS[name](scoring) for _ in range(choices.runs)]
                    measured[name] = _row(name, runs)
    if "stream" in wanted:
        measured["stream"] = _row("stream", [_stream()])
    earlier = results.read(results.FILE).get("batch_scoring", {}).get("rows", [])
    known = {row["part"]: row for row in earlier} | measured
    return {"rows": [known[name] for name in PARTS if name in known]}


@dataclass(frozen=True)
class Scoring:
    """A stack that scores, and what it scores."""

    stack: Stack
    settings: Settings
    request: Request

    def run(self) -> ScoringReport:
        """Score everything, and say how far it is."""
        return score_batch(
            self.settings,
            flink_client(self.stack, log="batch-score"),
            self.request,
            now_ms=time.time_ns() // 1_000_000,
            watch=Watch(say=say, begin=lambda _: None, progress=lambda _: None),
        )

    def digest(self) -> tuple[int, int, str]:
        """Rows, entities and digest of the table."""
        sink = PostgresSink(self.request.sink, self.request.table)
        with psycopg.connect(self.request.sink) as connection:
            found = connection.execute("SELECT DISTINCT prediction_date::text FROM predictions")
            dates = [date for (date,) in found.fetchall()]
        return sink.digest(self.request.model_name, dates)


def _plain(scoring: Scoring) -> Row:
    report = scoring.run()
    return _measured(scoring, report)


def _killed(scoring: Scoring) -> Row:
    """Kill the TaskManager when half of the parts are complete."""
    killed: list[float] = []
    is_over = threading.Event()

    def kill_half_way(pid: int) -> None:
        root = scoring.stack.layout.checkpoints.parent
        while not is_over.wait(0.02):
            done = len(list(root.glob("batch-*/results/part-*.json")))
            planned = len(list(root.glob("batch-*/parts/part-*")))
            if done and done >= planned / 2:
                os.kill(pid, signal.SIGKILL)
                killed.append(done / planned)
                return

    killer = threading.Thread(target=kill_half_way, args=[scoring.stack.pid("batch")])
    killer.start()
    report = scoring.run()
    is_over.set()
    killer.join()
    if not killed:
        raise SystemExit("the run was over before half of its parts were seen; give it more --rows")
    return {**_measured(scoring, report), "killed_at_share": round(killed[0], 3)}


def _measured(scoring: Scoring, report: ScoringReport) -> Row:
    rows, entities, digest = scoring.digest()
    with psycopg.connect(scoring.request.sink) as connection:
        settings = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]  # type: ignore[index]
            for name in ("fsync", "synchronous_commit", "wal_level", "server_version")
        }
        size = connection.execute(
            "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('predictions')"
        ).fetchone()
    found = {
        "rows": report.rows,
        "rows_in_table": rows,
        "entities_in_table": entities,
        "digest": digest,
        "parts": report.parts,
        "seconds": {**report.seconds, "all": round(sum(report.seconds.values()), 3)},
        "task_us_a_row": {
            name: round(1e6 * seconds / report.rows, 3)
            for name, seconds in report.task_seconds.items()
        },
        "rows_per_s": report.rows_per_s,
        "table_bytes_a_row": round(int(size[0]) / rows, 1) if size else None,
        "postgres": settings,
    }
    say(str(found))
    return found


def _stream() -> Row:
    """Score by batch what the stream has decided, and compare bit by bit."""
    with BenchStack() as bench:
        bench.fresh()
        done = bench.run(bench.load(STREAM_EVENTS, rate_per_s=None), drain_s=300)
        say(f"{done.undecided} of {STREAM_EVENTS} undecided")
        stack = bench.stack
        stack.up(optional=["postgres", "batch"])
        settings = stack.settings
        archive = settings.archive_url
        decided = _archived(f"{archive}/decisions", at_least=STREAM_EVENTS)
        sink = PostgresSink(settings.predictions_url, "predictions")
        sink.create()
        days = DayRange(0, EPOCH_DAYS * DAY_MS)
        request = _request(settings, days, settings.champion_alias)
        report = Scoring(stack, settings, request).run()
        with psycopg.connect(request.sink) as connection:
            rows = connection.execute("SELECT entity, score FROM predictions").fetchall()
        scores = pd.Series(dict(rows), dtype="float64")
    of_model = decided[decided["model_version"] == report.model_version]
    found = scores.reindex(of_model["transaction_id"]).to_numpy()
    given = of_model["score"].to_numpy(dtype="float64")
    different = int((found.view(np.uint64) != given.view(np.uint64)).sum())
    measured = {"compared": len(given), "different": different, "rows": report.rows}
    say(str(measured))
    return measured


def _archived(url: str, *, at_least: int) -> pd.DataFrame:
    deadline_s = time.monotonic() + ARCHIVED_S_MAX
    while True:
        rows = DeltaTable(url).to_pyarrow_table(
            columns=["transaction_id", "score", "model_version", "is_readable"]
        )
        if len(rows) >= at_least:
            found: pd.DataFrame = rows.to_pandas().drop_duplicates("transaction_id")
            return found
        if time.monotonic() > deadline_s:
            raise SystemExit(f"only {len(rows)} of {at_least} decisions are archived in {url}")
        time.sleep(1)


@contextmanager
def _scoring(rows: int) -> Iterator[Scoring]:
    archive = scored_archive(rows)
    with local_services(keep_logs=lambda: False) as services:
        stack = services.stack
        assert stack is not None
        stack.up(programs=PROGRAMS)
        settings = stack.settings.model_copy(update={"archive_url": str(archive)})
        version = _register(settings)
        PostgresSink(settings.predictions_url, "predictions").create()
        days = DayRange(FIRST_DAY_MS, FIRST_DAY_MS + DAY_MS)
        yield Scoring(stack, settings, _request(settings, days, version))


def _request(settings: Settings, rows: DayRange, version: str) -> Request:
    return Request(
        rows=rows,
        sink=settings.predictions_url,
        table="predictions",
        definition=transaction_model(settings),
        model_version=version,
        entity_column="transaction_id",
    )


def scored_archive(rows: int) -> Path:
    """Make the rows, unless they are there; a killed attempt leaves another name."""
    place = CACHE / f"scored-{rows}-{DEFINITION_DIGEST}"
    if not place.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=CACHE, prefix="unfinished-"))
        say(f"writing {rows:,} rows, once")
        write_archive(str(unfinished), rows, users=1_000_000)
        unfinished.rename(place)
        for left in CACHE.glob("unfinished-*"):
            shutil.rmtree(left, ignore_errors=True)
    return place


def _register(settings: Settings) -> str:
    """Register a version of the usual size, fitted on made-up labels; gives its number."""
    rows = DeltaTable(f"{settings.archive_url}/features").to_pyarrow_dataset().head(FITTED_ROWS)
    table = rows.to_pandas()
    rng = np.random.default_rng(1)
    risk = table["user_transaction_count_1h"].fillna(0) / 40 + rng.random(len(table))
    table["is_fraud"] = risk > risk.quantile(1 - FRAUD_SHARE)
    spec = vector_spec(table)
    forest = fit_forest(table, spec, parameters=ForestParameters(), seed=1)
    files = compile_forest(forest, spec, encode_table(table, spec), seed=1)
    registry = ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name)
    return registry.register(forest, files, params={}, metrics={}, tags={}, files={}).version


def _row(name: str, runs: list[Row]) -> Row:
    digests = {run["digest"] for run in runs if "digest" in run}
    if len(digests) > 1:
        raise SystemExit(f"{name}: the runs left different tables: {digests}")
    code = results.code_version()
    return {"part": name, "code": code, "median": results.median(runs), "runs": runs}


PARTS: dict[str, Any] = {"plain": _plain, "killed": _killed, "stream": _stream}
