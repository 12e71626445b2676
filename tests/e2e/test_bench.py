"""The bench harness works: a few seconds of it on the running stack. No figure is judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra.local.layout import REPO
from schemas.settings import environment_of
from tests.services import Services


def measured(services: Services, file: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", *arguments, "--results", str(file)],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        cwd=REPO,
        env={**os.environ, **environment_of(services.settings)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_a_small_measurement_counts_every_event_and_makes_its_page(
    weir_stack: Services, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("<!-- results: begin --><!-- results: end -->\n")
    small = ("--runs", "1", "--seconds", "2", "--warm", "1", "--rate", "30")
    found = measured(weir_stack, tmp_path / "results.json", "latency", "stages", "api", *small)
    (latency,) = found["latency"]["rows"]
    run = latency["runs"][0]
    assert (run["measured"], run["undecided"]) == (60, 0)
    assert run["latency_ms"]["p50"] <= run["latency_ms"]["p99"] <= run["latency_ms"]["max"]
    assert {"kafka", "taskmanager", "scorer", "sender", "watcher"} <= set(run["cpu_s"])
    (stages,) = found["stages"]["rows"]
    whole = stages["runs"][0]["latency_ms"]["mean"]
    parts = sum(each["mean"] for each in stages["runs"][0]["stages_ms"].values())
    assert abs(parts - whole) < 2, "the stages of an event add up to its latency"
    (api,) = found["api"]["rows"]
    assert api["runs"][0]["answers"]["200"] == 90
    page = (tmp_path / "README.md").read_text()
    assert "### Event to decision" in page
    assert "![Event to decision](latency.svg)" in page
    assert weir_stack.stack is not None
    assert weir_stack.stack.is_running(), "a stack that ran before goes on"


def test_the_ways_to_serve_give_whole_predictions_and_their_price(
    weir_stack: Services, tmp_path: Path
) -> None:
    results = tmp_path / "benchmarks"
    results.mkdir()
    (results / "README.md").write_text("<!-- results: begin --><!-- results: end -->\n")
    page = tmp_path / "serving-modes.md"
    page.write_text("<!-- serving_modes: begin --><!-- serving_modes: end -->\n")
    small = ("--runs", "1", "--seconds", "1", "--warm", "0.5", "--rate", "100", "--events", "300")
    ways = ("stream", "http", "http_batch", "embedded", "embedded_batch")
    found = measured(
        weir_stack, results / "results.json", "serving_modes", *small, "--only", *ways
    )["serving_modes"]
    runs = {row["mode"]: row["runs"][0] for row in found["rows"]}
    assert tuple(runs) == ways
    for run in runs.values():
        assert run["predictions"] > 0
        assert run["cpu_s_per_1000"] > 0
        assert run["latency_ms"]["p50"] <= run["latency_ms"]["p99"]
    # This stack has no champion: every answer says so.
    assert runs["http"]["not_whole"] >= runs["http"]["predictions"]
    assert runs["stream"]["not_whole"] == 0
    assert set(runs["http"]["cpu_s_per_1000_by_program"]) <= {"api", "redis"}
    assert "| HTTP, 100 in a request |" in page.read_text()
    assert "A core costs 0.05 USD an hour." in page.read_text()
    assert (results / "serving_modes.svg").exists()
