"""Ad-hoc scores over HTTP: Weir beside Feast's feature server with MLflow's scoring server.

One run: the same Redis with the same histories, the same model version, the same transactions, one
system after the other, each with one process a server. Feast gives the values that are stored; Weir
also computes them as of now.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clients.mlflow_rest import MlflowRest
from features.definitions import DAY_MS
from infra.local.layout import REPO
from infra.local.ports import free_ports
from scoring.stores.champion import fetch_files
from tests.bench.bench_stack import BenchStack, say
from tests.bench.client import run_client
from tests.bench.scenarios import Choices, Entry, Row, fill, row
from tests.bench.usage import between, look

USERS, MERCHANTS = 500, 1_000
POPULATION = "serve"
STARTED_S_MAX = 120.0
FOR_EVER = ("--max-requests", "1000000")
"""Feast's server would start its process again after every 1,000 requests."""
RATES_PER_S = (300, 100, 20)
"""At the first, the other two fall behind on two cores; with the second they are busy and keep up;
at the last, all programs are idle nearly all of the time."""


def serving(stack: BenchStack, choices: Choices) -> Entry:
    """Open loop at 300 requests/s, and at rates that all keep up with."""
    stack.fresh()
    fill(stack, 5 * USERS, past_ms=DAY_MS, users=USERS, population=POPULATION)
    # The online state is written a moment after the decision.
    time.sleep(3)
    rows: list[Row] = []
    with _others(stack) as others:
        spec = {**others, "api_port": stack.settings.api_port}
        for rate in choices.or_rates(*RATES_PER_S):
            for system in ("weir", "feast"):
                asked = {**spec, "system": system, "rate_per_s": rate}
                runs = [_run(stack, choices, asked) for _ in range(choices.runs)]
                rows.append(row({"system": system, "rate_per_s": rate}, runs))
    return {"rows": rows}


def _run(stack: BenchStack, choices: Choices, spec: dict[str, Any]) -> dict[str, Any]:
    pids = spec["pids"] if spec["system"] == "feast" else {"api": stack.stack.pid("api")}
    pids = {**pids, "redis": stack.stack.pid("redis")}
    asked = {
        **spec,
        "seconds": choices.seconds,
        "warm_s": choices.warm_s,
        "users": USERS,
        "merchants": MERCHANTS,
        "population": POPULATION,
    }
    before = look(pids)
    answered = run_client("tests.bench.serving_client", asked)
    used = between(before, look(pids))
    requests = round(spec["rate_per_s"] * (choices.seconds + choices.warm_s))
    found = {**answered, **used.to_json(requests)}
    say(
        f"{spec['system']} at {spec['rate_per_s']:g} requests/s: {found['latency_ms']}, "
        f"{found['answers']}"
    )
    return found


@contextmanager
def _others(stack: BenchStack) -> Iterator[dict[str, Any]]:
    """Feast's and MLflow's servers, started and stopped; gives their ports and process ids."""
    feast_port, model_port = free_ports(2)
    settings = stack.settings
    registry = MlflowRest(settings.mlflow_tracking_uri, timeout_s=30)
    version = registry.get_alias(model=settings.model_name, alias=settings.champion_alias)
    if version is None:
        raise SystemExit("there is no champion to serve")
    vector = json.loads(fetch_files(registry, version).signature)["vector"]
    environment = {
        **os.environ,
        "WEIR_FEAST_PROJECT": settings.feast_project,
        "WEIR_DATA_DIR": str(stack.stack.layout.data_dir),
        "WEIR_REDIS_PORT": str(settings.redis_port),
        "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "PYTHONPATH": str(REPO),
        # MLflow starts a program of its environment by its name.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    feast = (str(Path(sys.executable).with_name("feast")), "-c", "features/feast_repo")
    uri = f"models:/{version.name}/{version.version}"
    mlflow = (sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local")
    logs = stack.stack.layout.logs
    subprocess.run((*feast, "apply"), cwd=REPO, env=environment, check=True, capture_output=True)
    servers = {
        "feast": (*feast, "serve", "--port", str(feast_port), "--no-access-log", *FOR_EVER),
        "mlflow-model": (*mlflow, "--model-uri", uri, "--port", str(model_port)),
    }
    started = []
    try:
        for name, command in servers.items():
            with (logs / f"{name}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        command,
                        cwd=REPO,
                        env=environment,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
        _wait(f"http://127.0.0.1:{feast_port}/health", started[0])
        _wait(f"http://127.0.0.1:{model_port}/ping", started[1])
        # Each with its children: a server works in a process of its own.
        pids = {name: process.pid for name, process in zip(servers, started, strict=True)}
        yield {"feast_port": feast_port, "model_port": model_port, "vector": vector, "pids": pids}
    finally:
        for process in started:
            _end(process)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    until_s = time.time() + STARTED_S_MAX
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            if time.time() > until_s or process.poll() is not None:
                raise SystemExit(f"{address} does not answer; its log says why") from None
            time.sleep(0.5)


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, 15)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
