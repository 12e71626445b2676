"""The metrics of several processes on one page; each is a process that really wrote its files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scoring.http.worker_metrics import WorkerMetrics, is_process, start_directory

WORKER = """
import os
from prometheus_client import CollectorRegistry
from scoring.http.metrics import build_api_metrics
from scoring.metrics import build_metrics

registry = CollectorRegistry()
metrics, of_scoring = build_api_metrics(registry), build_metrics(registry)
metrics.workers.set(1)
metrics.requests.labels("/predict", 200).inc(3)
metrics.request_seconds.labels("/predict").observe(0.002)
of_scoring.model_info.labels(name="m", version="1", digest="d").set(1)
print(os.getpid())
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Undone after the test, as `start_directory` changes the environment.
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    directory = tmp_path / "metrics"
    start_directory(directory)
    return directory


def run_worker(directory: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", WORKER], check=True, capture_output=True, env=os.environ
    )
    return int(done.stdout)


def samples(page: bytes) -> dict[str, float]:
    lines = [line for line in page.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_counts_add_up_also_those_of_workers_that_have_ended(directory: Path) -> None:
    living = {run_worker(directory), run_worker(directory)}
    metrics = WorkerMetrics(directory, is_alive=living.__contains__)
    requests = 'api_requests_total{route="/predict",status="200"}'
    model = 'scoring_model_info{digest="d",name="m",version="1"}'
    found = samples(metrics.page())
    assert (found[requests], found["api_workers"], found[model]) == (6.0, 2.0, 1.0)

    living.pop()
    for _ in range(2):
        found = samples(metrics.page())
        assert (found[requests], found["api_workers"], found[model]) == (6.0, 1.0, 1.0)
        assert found['api_request_seconds_count{route="/predict"}'] == 2.0

    living.clear()
    found = samples(metrics.page())
    assert found[requests] == 6.0
    assert "api_workers" not in found
    assert {file.name for file in directory.glob("*.db")} == {"counter_0.db", "histogram_0.db"}


def test_a_start_forgets_the_workers_before(directory: Path) -> None:
    run_worker(directory)
    start_directory(directory)
    assert samples(WorkerMetrics(directory, is_alive=is_process).page()) == {}


def test_this_process_lives_and_one_that_has_ended_does_not() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert is_process(os.getpid())
    assert not is_process(done.pid)
