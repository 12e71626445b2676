"""The same model served in five ways: speed, latency, CPU and price of a prediction.

`batch` scores archived rows on Flink into a DuckDB file. `http` and `http_batch` ask the API for
one transaction and for a hundred in a request. `stream` goes from a transaction in Kafka to its
decision. `embedded` is `scoring.Scorer` in a process of its own. Each way is measured twice: as
fast as it goes, for the rate and the CPU, and at a fixed rate, open loop, for the latency. What a
prediction includes differs by the way; `tests.bench.serving_modes_report` says it.

`--rows` says how many rows the batch has, `--events` how long the stream's backlog is, `--rate` the
predictions/s of the latencies, `--only` which ways, `--core-hour-price` what a core costs an hour.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer

from clients.mlflow_rest import MlflowRest
from features.definitions import DAY_MS
from infra.local.flink_client import flink_client
from models.catalogue import transaction_model
from operations.batch_scoring.request import DayRange, Request
from operations.batch_scoring.run import Watch, score_batch
from schemas.topics import FEATURES
from scoring.embedded.model_directory import write_directory
from scoring.stores.champion import fetch_files
from tests.bench.batch_scoring import scored_archive
from tests.bench.bench_stack import BenchStack, say
from tests.bench.client import run_client
from tests.bench.scenarios import Choices, Entry, Row, drain, fill, open_loop, row
from tests.bench.usage import Used, between, look
from tests.scored_archive import FIRST_DAY_MS

USERS, MERCHANTS = 500, 1_000
POPULATION = "modes"
RATE_PER_S = 300.0
A_REQUEST = 100
"""How many transactions a request of `http_batch` has, and a call of `embedded_batch`."""
IN_FLIGHT = {"http": 8, "http_batch": 2}
"""How many requests are on their way at a time when the API is asked as fast as it goes."""
DECIDING = ("kafka", "jobmanager", "taskmanager", "scorer", "redis")
"""The programs between a transaction and its decision."""
EMBEDDED_ROWS = 2_000
READ_S_MAX = 60.0


def serving_modes(stack: BenchStack, choices: Choices) -> Entry:
    """Measure every way that was asked for, one after the other."""
    stack.fresh()
    fill(stack, 5 * USERS, past_ms=DAY_MS, users=USERS, population=POPULATION)
    # The online state is written a moment after the decision.
    time.sleep(3)
    rows: list[Row] = []
    for name, measure in MODES.items():
        if choices.only and name not in choices.only:
            continue
        runs = []
        for _ in range(choices.runs):
            runs.append(measure(stack, choices))
            say(f"{name}: {json.dumps(runs[-1])}")
        rows.append(row({"mode": name}, runs))
    return {"core_hour_price": choices.core_hour_price, "rows": rows}


def measured(
    predictions: int,
    seconds: float,
    cpu_s: Mapping[str, float],
    used: Used,
    latency_ms: Mapping[str, float],
    **more: Any,
) -> dict[str, Any]:
    """One run as it stands in the results.

    Args:
        predictions: made while the CPU was measured.
        seconds: that they took.
        cpu_s: of each program that took part.
        used: of the machine.
        latency_ms: percentiles at the fixed rate; empty if no one waits for a prediction.
        more: further figures.
    """
    thousands = predictions / 1_000
    return {
        "predictions": predictions,
        "predictions_per_s": round(predictions / seconds, 1),
        "latency_ms": dict(latency_ms),
        "cpu_s_per_1000": round(sum(cpu_s.values()) / thousands, 5),
        "cpu_s_per_1000_by_program": {
            name: round(each / thousands, 5) for name, each in cpu_s.items() if each
        },
        "cores_of_others": round(max(0.0, used.cores_busy - used.cores_ours), 2),
        **more,
    }


def _batch(stack: BenchStack, choices: Choices) -> dict[str, Any]:
    """Archived rows through Flink into a DuckDB file, from nothing to the published table."""
    archive = scored_archive(choices.rows)
    stack.stack.up(optional=["batch"])
    settings = stack.settings.model_copy(update={"archive_url": str(archive)})
    with tempfile.TemporaryDirectory() as directory:
        request = Request(
            rows=DayRange(FIRST_DAY_MS, FIRST_DAY_MS + DAY_MS),
            sink=f"duckdb:{Path(directory) / 'predictions.duckdb'}",
            table="predictions",
            definition=transaction_model(settings),
            model_version=settings.champion_alias,
            entity_column="transaction_id",
        )
        pids = {name: pid for name, pid in stack.pids().items() if name in ("batch", "jobmanager")}
        own_s, children_s = time.process_time(), _ended_children_s()
        before = look(pids)
        report = score_batch(
            settings,
            flink_client(stack.stack, log="batch-score"),
            request,
            now_ms=time.time_ns() // 1_000_000,
            watch=Watch(say=say, begin=lambda _: None, progress=lambda _: None),
        )
        used = between(before, look(pids))
    # Not by `look`: the stack's programs are children of this process.
    here = {
        "operations": time.process_time() - own_s,
        "submitting": _ended_children_s() - children_s,
    }
    seconds = {name: round(each, 3) for name, each in report.seconds.items()}
    others = used.cores_busy - used.cores_ours - sum(here.values()) / used.seconds
    return measured(
        report.rows,
        used.seconds,
        {**used.cpu_s, **here},
        used,
        {},
        cores_of_others=round(max(0.0, others), 2),
        seconds_by_step={**seconds, "all": round(used.seconds, 3)},
    )


def _http(name: str, size: int) -> Any:
    def measure(stack: BenchStack, choices: Choices) -> dict[str, Any]:
        pids = {each: pid for each in ("api", "redis") if (pid := stack.stack.pid(each))}
        spec = {
            "port": stack.settings.api_port,
            "size": size,
            "users": USERS,
            "merchants": MERCHANTS,
            "population": POPULATION,
        }
        _asked({**spec, "seconds": choices.warm_s, "in_flight": IN_FLIGHT[name]})
        before = look(pids)
        fast = _asked({**spec, "seconds": choices.seconds, "in_flight": IN_FLIGHT[name]})
        used = between(before, look(pids))
        rate_per_s = choices.or_rates(RATE_PER_S)[0]
        at_rate = _asked({**spec, "seconds": choices.seconds, "rate_per_s": rate_per_s / size})
        return measured(
            fast["predictions"],
            fast["seconds"],
            used.cpu_s,
            used,
            at_rate["latency_ms"],
            not_whole=fast["not_whole"] + at_rate["not_whole"],
        )

    return measure


def _asked(spec: dict[str, Any]) -> dict[str, Any]:
    return run_client("tests.bench.serving_modes_client", spec)


def _stream(stack: BenchStack, choices: Choices) -> dict[str, Any]:
    """A backlog of transactions to their decisions; then events at the fixed rate."""
    events = choices.backlog()
    fast = drain(stack, events)
    at_rate = open_loop(stack, choices, choices.or_rates(RATE_PER_S)[0])
    cpu_s = {name: each for name, each in fast.used.cpu_s.items() if name in DECIDING}
    return measured(
        events - fast.undecided,
        fast.used.seconds,
        cpu_s,
        fast.used,
        at_rate.to_json()["latency_ms"],
        not_whole=fast.undecided + at_rate.undecided,
    )


def _embedded(size: int) -> Any:
    def measure(stack: BenchStack, choices: Choices) -> dict[str, Any]:
        settings = stack.settings
        registry = MlflowRest(settings.mlflow_tracking_uri, timeout_s=30)
        version = registry.get_alias(model=settings.model_name, alias=settings.champion_alias)
        with tempfile.TemporaryDirectory() as directory:
            if version is not None:
                files = fetch_files(registry, version)
                write_directory(Path(directory), files, name=version.name, version=version.version)
            rows = Path(directory) / "rows.jsonl"
            rows.write_bytes(b"\n".join(_feature_rows(settings.kafka_bootstrap, EMBEDDED_ROWS)))
            before = look({})
            found = run_client(
                "tests.bench.serving_modes_embedded",
                {
                    # Without a champion the heuristic scores, as it does everywhere.
                    "model": None if version is None else directory,
                    "rows": str(rows),
                    "size": size,
                    "seconds": choices.seconds,
                    "warm_s": choices.warm_s,
                },
            )
            used = between(before, look({}))
        cpu_s = {"process": found["cpu_s"]}
        of_machine = measured(
            found["predictions"], found["seconds"], cpu_s, used, found["latency_ms"]
        )
        # The process has ended, so its use is not in that of the machine.
        ours = found["all_cpu_s"] / used.seconds
        return {**of_machine, "cores_of_others": round(max(0.0, used.cores_busy - ours), 2)}

    return measure


def _feature_rows(bootstrap: str, wanted: int) -> list[bytes]:
    """The first rows of the feature log."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"bench-{uuid.uuid4().hex}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([FEATURES])
    rows: list[bytes] = []
    until_s = time.time() + READ_S_MAX
    while len(rows) < wanted and time.time() < until_s:
        read = consumer.consume(wanted, 1.0)
        rows += [bytes(each.value() or b"") for each in read if each.error() is None]
    consumer.close()
    if not rows:
        raise SystemExit(f"the topic {FEATURES} gave no row within {READ_S_MAX:g} s")
    return rows[:wanted]


def _ended_children_s() -> float:
    """CPU seconds of the processes that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


MODES: dict[str, Any] = {
    "stream": _stream,
    "http": _http("http", 1),
    "http_batch": _http("http_batch", A_REQUEST),
    "embedded": _embedded(1),
    "embedded_batch": _embedded(A_REQUEST),
    # The last one: it starts one more program.
    "batch": _batch,
}
