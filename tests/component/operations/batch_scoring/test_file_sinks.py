"""A Delta table and a DuckDB file have one prediction for each entity, date and model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from operations.batch_scoring.errors import PredictionsTableError, SinkAddressError
from operations.batch_scoring.sinks.by_address import open_sink
from operations.batch_scoring.sinks.sink import FilledPart, Run, Sink
from streams.batch_scoring.part_targets import parquet_file

DECISIONS = pa.array(["APPROVE"]).dictionary_encode()
ONE, TWO = "2026-06-01", "2026-06-02"


def run_of(number: int, *, model: str = "m", version: str = "1") -> Run:
    return Run(f"{number:016x}", model, version, "data")


def fill(sink: Sink, run: Run, scores: dict[str, list[float]]) -> list[FilledPart]:
    """One part for each date, with entities e0, e1, ..."""
    parts = []
    sink.begin(run)
    constants: dict[str, str | int] = {
        "model_name": run.model_name,
        "model_version": run.model_version,
        "data_version": run.data_version,
        "run_id": run.run_id,
    }
    for number, (date, values) in enumerate(scores.items()):
        target = sink.target(run, number)
        with parquet_file(Path(target), constants=constants) as part:
            for at, score in enumerate(values):
                part.write(pa.array([f"e{at}"]), np.array([score]), DECISIONS)
        parts.append(FilledPart(number, date, len(values), target))
    return parts


def publish(sink: Sink, run: Run, scores: dict[str, list[float]]) -> None:
    sink.check()
    sink.publish(run, fill(sink, run, scores))
    sink.discard(run)


def read(kind: str, place: Path) -> list[tuple[Any, ...]]:
    if kind == "delta":
        rows = DeltaTable(str(place / "predictions")).to_pyarrow_table()
    else:
        with duckdb.connect(str(place)) as database:
            rows = database.sql("SELECT * FROM predictions").to_arrow_table()
    names = ("prediction_date", "model_name", "model_version", "entity", "score")
    return sorted(
        (str(row[names[0]]), *(row[name] for name in names[1:])) for row in rows.to_pylist()
    )


@pytest.mark.parametrize("kind", ["delta", "duckdb"])
def test_a_run_replaces_its_model_on_its_dates_and_nothing_else(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "out"
    sink = open_sink(f"{kind}:{place}", "predictions")
    publish(sink, run_of(1), {ONE: [0.1, 0.2], TWO: [0.3]})
    publish(sink, run_of(2, model="other"), {ONE: [0.4]})
    publish(sink, run_of(3, version="2"), {ONE: [0.5]})
    assert read(kind, place) == [
        (ONE, "m", "2", "e0", 0.5),
        (ONE, "other", "1", "e0", 0.4),
        (TWO, "m", "1", "e0", 0.3),
    ]


@pytest.mark.parametrize("kind", ["delta", "duckdb"])
def test_what_was_not_published_is_not_seen_and_its_files_are_removed(
    kind: str, tmp_path: Path
) -> None:
    place = tmp_path / "out"
    sink = open_sink(f"{kind}:{place}", "predictions")
    publish(sink, run_of(1), {ONE: [0.1]})
    before = set(tmp_path.rglob("*.parquet"))
    fill(sink, run_of(2), {ONE: [0.9]})
    assert read(kind, place) == [(ONE, "m", "1", "e0", 0.1)]
    sink.discard(run_of(2))
    assert read(kind, place) == [(ONE, "m", "1", "e0", 0.1)]
    assert set(tmp_path.rglob("*.parquet")) == before


@pytest.mark.parametrize("kind", ["delta", "duckdb"])
def test_a_table_of_other_columns_is_refused(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "out"
    if kind == "delta":
        schema = pa.schema([("a", pa.int64())])
        DeltaTable.create(str(place / "predictions"), schema=schema)
    else:
        with duckdb.connect(str(place)) as database:
            database.execute("CREATE TABLE predictions (a BIGINT)")
    with pytest.raises(PredictionsTableError, match="another --table"):
        open_sink(f"{kind}:{place}", "predictions").check()


@pytest.mark.parametrize("address", ["mysql://x", "delta:", "/some/path", "postgresql:x"])
def test_an_address_of_another_kind_is_refused_with_those_that_there_are(address: str) -> None:
    with pytest.raises(SinkAddressError, match="delta:DIRECTORY"):
        open_sink(address, "predictions")
