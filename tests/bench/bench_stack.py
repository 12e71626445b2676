"""The system under measurement: a stack of its own, empty but for a trained champion.

Its directory is ``WEIR_DATA_DIR`` or `.weir-bench`. A stack that already runs there is used as it
is and left running, with whatever it has in it; that is how a test uses the harness. Otherwise the
champion is trained once, as the demo does, and kept; logs and states are emptied by `fresh`.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from features.definitions import DEFINITION_DIGEST
from infra.local.stack import Stack
from infra.simulation.clock import WallClock
from infra.simulation.interrupt import clock_until_interrupted
from infra.simulation.system import send_history
from infra.simulation.world import World
from operations.training_run.request import Rows, Source
from operations.training_run.run import train
from schemas.settings import Settings
from tests.bench.load import Load
from tests.bench.measure import Measured, run_load
from training.registry.versions import ModelVersions

DATA_DIR = Path(".weir-bench")
PARTITIONS = 2
"""As many as cores: librdkafka, of the sender and of the scorer, sends one request a partition."""
WARM_UP_EVENTS = 60_000
"""Backlog that a fresh stack decides before anything counts: a JVM compiles what it has run some
ten thousand times, and until then an event costs twice as much."""
WARM_UP_RATE_PER_S = 500.0
WARM_UP_S = 30
"""Then traffic at a rate: a backlog, in few large fetches, seldom runs what small ones run."""
HISTORY_DAYS, HISTORY_PER_DAY = 30, 1_000
SERVED_S_MAX = 60


def say(line: str) -> None:
    """One line of what is going on."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


class BenchStack:
    """A running system with a champion, and loads sent to it."""

    def __init__(self) -> None:
        chosen: dict[str, Any] = {}
        if "WEIR_DATA_DIR" not in os.environ:
            chosen["data_dir"] = DATA_DIR
        if "WEIR_TOPIC_PARTITIONS" not in os.environ:
            chosen["topic_partitions"] = PARTITIONS
        self._chosen = Settings(**chosen)
        self.stack = Stack(self._chosen)
        self.settings = self.stack.settings
        self.is_ours = not self.stack.is_running()

    def __enter__(self) -> BenchStack:
        if self.is_ours:
            try:
                self._start()
            except BaseException:
                self.stack.down()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_ours:
            say("stopping the stack")
            self.stack.down()

    def _start(self) -> None:
        # A run that was stopped half-way may have left the state of another layout.
        shutil.rmtree(self.stack.layout.data_dir / "flink", ignore_errors=True)
        self.stack.up()
        if self._champion() is None:
            self._train()

    def fresh(self, *, warm_up_events: int = WARM_UP_EVENTS) -> None:
        """Empty logs and states, keep the champion; nothing happens to a stack that is not ours.

        Args:
            warm_up_events: a backlog to decide first, then traffic at a rate; 0: neither.
        """
        if not self.is_ours:
            return
        self.restart_empty()
        self.until_served()
        if warm_up_events:
            say(f"warming up with {warm_up_events} events")
            self.run(
                self.load(warm_up_events, rate_per_s=None, population="warm"),
                drain_s=60 + warm_up_events / 300,
            )
            events = round(WARM_UP_RATE_PER_S * WARM_UP_S)
            self.run(self.load(events, rate_per_s=WARM_UP_RATE_PER_S, population="warm"))

    def restart_empty(self, *, programs: Iterable[str] | None = None, **changes: Any) -> None:
        """Empty logs and states, and start again; only for a stack that is ours.

        Args:
            programs: names of those to start; all by default.
            changes: settings that differ until the next restart.
        """
        say("a fresh stack")
        self.stack.down()
        for part in self.stack.layout.data_dir.iterdir():
            if part != self.stack.layout.mlflow_data:
                shutil.rmtree(part, ignore_errors=True)
        self.stack = Stack(self._chosen.model_copy(update=changes))
        self.settings = self.stack.settings
        self.stack.up(programs=programs)

    def until_served(self) -> None:
        """Wait until the champion decides: what a first event meets is no part of any figure."""
        champion = self._champion()
        deadline_s = time.time() + SERVED_S_MAX
        while time.time() < deadline_s:
            done = self.run(self.load(50, rate_per_s=50, population="probe"), drain_s=20)
            models = {decision["model"]["version"] for _, decision in done.seen.kept}
            if not done.undecided and (champion is None or models == {champion}):
                return
        raise SystemExit(f"within {SERVED_S_MAX} s model version {champion} did not decide")

    def load(self, events: int, *, rate_per_s: float | None, **changes: Any) -> Load:
        """A load with ids of its own."""
        return Load(uuid.uuid4().hex[:10], events, rate_per_s, **changes)

    def run(self, load: Load, **how: Any) -> Measured:
        """Send a load through Weir."""
        bootstrap = self.settings.kafka_bootstrap
        return run_load(load, bootstrap=bootstrap, decisions="decisions", pids=self.pids, **how)

    def pids(self) -> Mapping[str, int]:
        """Every program of the stack that runs, by name; what runs beside a decision counts."""
        return {each.name: each.pid for each in self.stack.status() if each.pid}

    def describe(self) -> dict[str, Any]:
        """What is measured, for the results."""
        names = (
            *("flink_parallelism", "topic_partitions"),
            *("checkpoint_interval_ms", "batching_delay_ms"),
        )
        return {
            "champion": self._champion() or "none: the heuristic decides",
            "definition_digest": DEFINITION_DIGEST,
            **{name: getattr(self.settings, name) for name in names},
        }

    def _champion(self) -> str | None:
        champion = ModelVersions.from_settings(self.settings).champion()
        if champion is None or champion.definition_digest != DEFINITION_DIGEST:
            return None
        return champion.version

    def _train(self) -> None:
        say(f"no champion yet: {HISTORY_DAYS} days of history, then training, once")
        world = World(seed=1, currency=self.settings.currency, run=f"h{uuid.uuid4().hex[:6]}")
        with clock_until_interrupted() as clock:
            send_history(self.settings, world, clock, days=HISTORY_DAYS, per_day=HISTORY_PER_DAY)
            clock.raise_if_stopped()
        rows = Rows(source=Source.LOG, keep_immature=True)
        outcome = train(self.settings, rows, now_ms=WallClock().now_ms(), say=say)
        if not outcome.verdict.promotes:
            raise SystemExit(f"the first model is no champion: {outcome.verdict.reason}")
