"""Side by side: the same work as a user would write it with something else, in the same run.

Each rival is a program of `tests/bench/rivals` in an environment of its own. It gets topics of its
own on the same broker, the champion's own trees, and the same loads; the other systems are stopped
meanwhile. What it decides is compared with a recomputation by Weir's own fold before it counts.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic

from clients.mlflow_rest import MlflowRest
from features.engine.state import UserState
from infra.local.layout import REPO
from scoring.stores.champion import fetch_files
from tests.bench.bench_stack import BenchStack, say
from tests.bench.load import Load
from tests.bench.measure import Measured, run_load
from tests.bench.results import median
from tests.bench.scenarios import MEASURING, Choices, Entry, shown

APPS = Path(__file__).parent / "rivals"
STARTED_S_MAX = 90
VALUES_TOLERANCE = 1e-9
SLOWEST_PER_S = 200


@dataclass(frozen=True)
class Rival:
    """A program and how it is started.

    Attributes:
        name: as on the page.
        environment: folder of its environment in the checkout.
        command: after its Python.
        processes: how many of them share the work.
        before: a command to run first, after its Python.
        topics: endings of further topics it needs made.
    """

    name: str
    environment: str
    command: tuple[str, ...]
    processes: int = 1
    before: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()


_BYTEWAX = ("-m", "bytewax.run", "bytewax_flow:flow", "-r", "{state}", "-s", "10", "-b", "0")
RIVALS = (
    Rival("quix", ".venv-bench-quix", ("quix_app.py",)),
    Rival("quix x 2", ".venv-bench-quix", ("quix_app.py",), processes=2),
    Rival("faust", ".venv-bench-faust", ("faust_app.py", "worker"), topics=("by-merchant",)),
    Rival(
        "bytewax",
        ".venv-bench-bytewax",
        _BYTEWAX,
        before=("-m", "bytewax.recovery", "{state}", "1"),
    ),
    Rival("bare loop", ".venv", ("bare_loop.py",)),
)


class RivalError(Exception):
    """A rival did not start; the others are measured all the same."""


class RunningRival:
    """One rival at work, from `__enter__` to `__exit__`."""

    def __init__(self, rival: Rival, stack: BenchStack, model: Path) -> None:
        self._rival = rival
        self._stack = stack
        self._id = f"rival-{rival.name.replace(' ', '')}-{uuid.uuid4().hex[:6]}"
        self._state = stack.stack.layout.data_dir / self._id
        self._python = str(REPO / rival.environment / "bin" / "python")
        self._environment = {
            **os.environ,
            "BENCH_BOOTSTRAP": stack.settings.kafka_bootstrap,
            "BENCH_IN": f"{self._id}-in",
            "BENCH_OUT": f"{self._id}-out",
            "BENCH_GROUP": self._id,
            "BENCH_MODEL": str(model),
            "BENCH_PARTITIONS": str(stack.settings.topic_partitions),
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> RunningRival:
        bootstrap = self._stack.settings.kafka_bootstrap
        partitions = self._stack.settings.topic_partitions
        admin = AdminClient({"bootstrap.servers": bootstrap})
        endings = ("in", "out", *self._rival.topics)
        topics = [NewTopic(f"{self._id}-{ending}", partitions, 1) for ending in endings]
        for made in admin.create_topics(topics).values():
            made.result(timeout=30)
        try:
            for number in range(self._rival.processes):
                self._processes.append(self._start(number))
            self._until_it_decides()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self._state, ignore_errors=True)

    def run(self, load: Load, **how: Any) -> Measured:
        """Send a load through it."""
        return run_load(
            replace(load, topic=f"{self._id}-in"),
            bootstrap=self._stack.settings.kafka_bootstrap,
            decisions=f"{self._id}-out",
            pids=self._pids,
            **how,
        )

    def _pids(self) -> Mapping[str, int]:
        ours = {f"app {number}": each.pid for number, each in enumerate(self._processes)}
        return {"kafka": self._stack.stack.pid("kafka"), **ours}

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        state = self._state / str(number)
        state.mkdir(parents=True)
        environment = {**self._environment, "BENCH_STATE": str(state)}
        log = (self._stack.stack.layout.logs / f"{self._id}-{number}.log").open("wb")

        def filled(command: tuple[str, ...]) -> list[str]:
            return [self._python, *(part.format(state=state) for part in command)]

        if self._rival.before:
            subprocess.run(
                filled(self._rival.before), cwd=APPS, env=environment, stderr=log, check=True
            )
        return subprocess.Popen(
            filled(self._rival.command), cwd=APPS, env=environment, stdout=log, stderr=log
        )

    def _until_it_decides(self) -> None:
        deadline_s = time.time() + STARTED_S_MAX
        while time.time() < deadline_s:
            if any(process.poll() is not None for process in self._processes):
                break
            probe = self._stack.load(100, rate_per_s=50, population="probe")
            if not self.run(probe, drain_s=20).undecided:
                return
        raise RivalError(
            f"{self._rival.name} does not decide; see {self._id}-*.log in "
            f"{self._stack.stack.layout.logs}"
        )


def rivals(stack: BenchStack, choices: Choices) -> Entry:
    """Weir and its rivals at 500 and 2,000 events/s, and draining a backlog; run by run in turn."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in range(choices.runs):
        stack.fresh()
        say(f"run {run + 1}: weir")
        found.setdefault("weir", []).append(_measured(stack, stack, choices))
        model = _model_files(stack)
        _rest(stack)
        for rival in RIVALS:
            if choices.only and rival.name not in choices.only:
                continue
            if not (REPO / rival.environment / "bin" / "python").exists():
                say(f"{rival.name} is left out: {rival.environment} is not there")
                continue
            say(f"run {run + 1}: {rival.name}")
            try:
                with RunningRival(rival, stack, model) as running:
                    found.setdefault(rival.name, []).append(_measured(running, stack, choices))
            except RivalError as error:
                say(f"left out: {error}")
    rows = [{"system": name, "median": median(runs), "runs": runs} for name, runs in found.items()]
    return {"rows": rows}


def _measured(
    system: BenchStack | RunningRival, stack: BenchStack, choices: Choices
) -> dict[str, Any]:
    """One system: at each rate, and a backlog."""
    found: dict[str, Any] = {}
    for rate in choices.or_rates(500, 2_000):
        events = round(rate * (choices.warm_s + choices.seconds))
        # A population of its own, so that the history is the same for every system.
        load = stack.load(events, rate_per_s=rate, population=f"r{rate:g}")
        done = system.run(load, warm_s=choices.warm_s)
        say(f"  {rate:g}/s: {shown(done)}")
        found[f"{rate:g}"] = {**_brief(done), "values": values_checked(done)}
    backlog = choices.backlog()
    load = stack.load(backlog, rate_per_s=None, population="rd")
    done = system.run(load, drain_s=60 + backlog / SLOWEST_PER_S)
    say(f"  a backlog of {backlog}: {shown(done)}")
    return {**found, "drain": _brief(done)}


def _brief(done: Measured) -> dict[str, Any]:
    full = done.to_json()
    of_system = [
        us
        for name, us in full["cpu_us_per_event"].items()
        if name not in (*MEASURING, "kafka", "mlflow", "api")
    ]
    return {
        "system_us_per_event": round(sum(of_system), 1),
        "kafka_us_per_event": full["cpu_us_per_event"]["kafka"],
        **full,
    }


def values_checked(done: Measured) -> dict[str, int]:
    """Compare the users' features of the kept decisions with Weir's own fold of the same load."""
    kept = dict(done.seen.kept)
    states: dict[bytes, UserState] = {}
    checked = different = 0
    for at, (key, body) in enumerate(done.load.transactions()):
        event = json.loads(body + b"0}")
        values = states.setdefault(key, UserState()).fold(
            transaction_id=event["transaction_id"],
            merchant_id=event["merchant_id"],
            amount_minor=event["amount_minor"],
            event_time_ms=int(done.due_s[at] * 1000),
        )
        decided = kept.get(at)
        if decided is None:
            continue
        for name, value in values.features.items():
            checked += 1
            different += abs(decided["features"][name] - value) > VALUES_TOLERANCE
    return {"checked": checked, "different": different}


def _model_files(stack: BenchStack) -> Path:
    """The champion's trees and columns, as files."""
    settings = stack.settings
    registry = MlflowRest(settings.mlflow_tracking_uri)
    version = registry.get_alias(model=settings.model_name, alias=settings.champion_alias)
    if version is None:
        raise SystemExit("there is no champion; the rivals need its trees")
    files = fetch_files(registry, version)
    directory = stack.stack.layout.data_dir / "bench-model"
    directory.mkdir(exist_ok=True)
    (directory / "trees.onnx").write_bytes(files.trees)
    (directory / "spec.json").write_text(json.dumps(json.loads(files.signature)["vector"]))
    return directory


def _rest(stack: BenchStack) -> None:
    """Stop everything but the broker: the machine is the rivals' now."""
    for program in reversed(stack.stack.status()):
        if program.name != "kafka" and program.pid:
            stack.stack.stop(program.name)
