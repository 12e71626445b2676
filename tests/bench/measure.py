"""One run: a watcher and a sender as processes of their own, and what came of it.

Knows nothing of what decides: it is given a topic to send to, a topic to watch, and the programs
whose use of the machine is of interest. Called by the scenarios, of Weir and of its rivals alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram

from infra.local.layout import REPO
from tests.bench.load import Load
from tests.bench.usage import Used, between, forget_peaks, look
from tests.bench.watcher import Seen, Watch

START_S = 1.0
"""From the start of the sender to the first due event, s: it has to import and to connect."""
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
Floats = np.ndarray[Any, np.dtype[np.float64]]
Pids = Callable[[], Mapping[str, int]]


@dataclass(frozen=True)
class Measured:
    """What one run gave.

    Attributes:
        load: what was sent.
        start_s: when the first event was due.
        warm_s: how much of it does not count.
        due_s: when each event was due, s since 1970.
        seen: what the watcher saw.
        sender: what the sender says of itself.
        used: of the machine, from the end of the warm-up to the last event sent, or when all
            was due at once to the last decision.
    """

    load: Load
    start_s: float
    warm_s: float
    due_s: Floats
    seen: Seen
    sender: dict[str, float]
    used: Used

    @property
    def counts(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which events count: those due after the warm-up."""
        return self.due_s >= self.start_s + self.warm_s

    @property
    def undecided(self) -> int:
        """How many events had no decision when the watcher gave up."""
        return int(np.isnan(self.seen.received_s).sum())

    def latencies_s(self) -> Floats:
        """Due to seen, s, of the events that count and were decided."""
        latencies = (self.seen.received_s - self.due_s)[self.counts]
        return latencies[~np.isnan(latencies)]

    def decided_per_s(self) -> float:
        """Rate at which decisions came.

        Of a backlog: all of them, from the moment when the first was sent to the last decision. A
        system that holds its first answers back gains nothing by it. At a rate: between the first
        tenth of the decisions and the last.
        """
        times = np.sort(self.seen.received_s[~np.isnan(self.seen.received_s)])
        tenth = len(times) // 10
        if len(times) < 20:
            return 0.0
        if self.load.rate_per_s is None:
            return float(len(times) / (times[-1] - self.start_s))
        return float((len(times) - 1 - tenth) / (times[-1] - times[tenth]))

    def waiting(self, at_s: float) -> int:
        """How many events were due and undecided at a moment."""
        due = int((self.due_s <= at_s).sum())
        return due - int((self.seen.received_s <= at_s).sum())

    def keeps_up(self, *, slack_s: float = 0.5) -> bool:
        """Whether no more waits at the end than after the warm-up, but for ``slack_s`` of load.

        The mean over the first and the last fifth of the time that counts, so that one pause of
        a garbage collector at the wrong moment decides nothing.
        """
        if self.undecided or self.load.rate_per_s is None:
            return False
        begin_s, end_s = self.start_s + self.warm_s, float(self.due_s[-1])
        fifth_s = (end_s - begin_s) / 5
        first = np.mean([self.waiting(begin_s + fifth_s * at) for at in np.linspace(0, 1, 20)])
        last = np.mean([self.waiting(end_s - fifth_s * at) for at in np.linspace(0, 1, 20)])
        return bool(last <= first + slack_s * self.load.rate_per_s)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the results."""
        return {
            "latency_ms": percentiles_ms(self.latencies_s()),
            "measured": int(self.counts.sum()),
            "undecided": self.undecided,
            "repeats": self.seen.repeats,
            "decided_per_s": round(self.decided_per_s(), 1),
            "keeps_up": self.keeps_up(),
            "sender": self.sender,
            **self.used.to_json(self._events_used()),
        }

    def _events_used(self) -> int:
        """How many events were decided while the use of the machine was measured."""
        if self.load.rate_per_s is None:
            return self.load.events
        received_s = self.seen.received_s
        begin_s, end_s = self.start_s + self.warm_s, self.start_s + self.load.length_s
        return int(((received_s >= begin_s) & (received_s < end_s)).sum())


def percentiles_ms(latencies_s: Floats) -> dict[str, float]:
    """Give percentiles, maximum and mean in ms, by an HDR histogram of 3 digits, 1 us to 1 h."""
    if not len(latencies_s):
        return {}
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for latency_us in np.maximum(1, latencies_s * 1e6).astype(np.int64).tolist():
        histogram.record_value(latency_us)
    found = {
        name: round(histogram.get_value_at_percentile(share) / 1000, 2)
        for name, share in PERCENTILES.items()
    }
    return {
        **found,
        "max": round(float(latencies_s.max()) * 1000, 2),
        "mean": round(float(latencies_s.mean()) * 1000, 2),
    }


def run_load(
    load: Load,
    *,
    bootstrap: str,
    decisions: str,
    pids: Pids,
    warm_s: float = 0.0,
    drain_s: float = 30.0,
    during: Callable[[float], None] | None = None,
) -> Measured:
    """Send a load and see what comes.

    Blocks: for as long as the load lasts, and at most ``drain_s`` after it.

    Args:
        load: what to send.
        bootstrap: Kafka's address.
        decisions: the topic to watch.
        pids: gives the programs whose use of the machine counts, by name; asked twice.
        warm_s: how much of the load is not measured.
        drain_s: how long to wait for the last decision.
        during: called with the start, in this thread, once the load is on its way.
    """
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "seen.npz"
        until_s = time.time() + 15 + load.length_s + drain_s
        spec = Watch(bootstrap, decisions, load.run, load.events, until_s, str(file))
        watcher = _start("tests.bench.watcher", spec.to_json())
        counts = _Counts(watcher)
        counts.until_ready()
        start_s = time.time() + START_S
        sender = _start("tests.bench.load", load.to_json(), bootstrap, repr(start_s))
        ours = {"sender": sender.pid, "watcher": watcher.pid}
        try:
            if during is not None:
                during(start_s)
            _sleep_until(start_s + warm_s)
            forget_peaks(pids())
            before = look({**pids(), **ours})
            if load.rate_per_s is None:
                counts.until(load.events, until_s)
            else:
                _sleep_until(start_s + load.length_s)
            after = look({**pids(), **ours})
            said = _output(sender, timeout_s=drain_s + 150)
            counts.wait(timeout_s=max(1.0, until_s + 15 - time.time()))
        finally:
            for process in (sender, watcher):
                if process.poll() is None:
                    process.kill()
        seen = Seen.load(file)
    report = json.loads(said.splitlines()[-1])
    due_s = load.due_s(start_s)
    return Measured(load, start_s, warm_s, due_s, seen, report, between(before, after))


class _Counts:
    """Follows what a watcher prints."""

    def __init__(self, watcher: subprocess.Popen[str]) -> None:
        self._watcher = watcher
        self._ready = threading.Event()
        self.seen = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def until_ready(self) -> None:
        if not self._ready.wait(30) or self._watcher.poll() is not None:
            raise RuntimeError("the watcher did not start within 30 s")

    def until(self, events: int, until_s: float) -> None:
        while self.seen < events and time.time() < until_s and self._thread.is_alive():
            time.sleep(0.02)

    def wait(self, *, timeout_s: float) -> None:
        if self._watcher.wait(timeout=timeout_s):
            raise RuntimeError(f"the watcher ended with {self._watcher.returncode}")
        self._thread.join()

    def _read(self) -> None:
        assert self._watcher.stdout is not None
        for line in self._watcher.stdout:
            if line.strip() == "ready":
                self._ready.set()
            else:
                self.seen = int(line)
        self._ready.set()


def _start(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=REPO,
        stdout=subprocess.PIPE,
        text=True,
    )


def _output(process: subprocess.Popen[str], *, timeout_s: float) -> str:
    said, _ = process.communicate(timeout=timeout_s)
    if process.returncode:
        raise RuntimeError(f"the sender ended with {process.returncode}")
    return said


def _sleep_until(at_s: float) -> None:
    time.sleep(max(0.0, at_s - time.time()))
