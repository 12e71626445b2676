"""Profiles under load: CPU by thread of Flink's TaskManager, and by function of the scorer.

jstack gives each thread's CPU time; py-spy samples the scorer's Python, and the Python inside the
TaskManager where it finds it. Sampling costs something itself: no latency of this scenario counts.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.bench.bench_stack import BenchStack, say
from tests.bench.scenarios import Choices, Entry

SHOWN = 25
PY_SPY = Path(sys.executable).parent / "py-spy"
_THREAD = re.compile(r'^"(?P<name>.+?)" .*?cpu=(?P<cpu>[\d.]+)ms', re.MULTILINE)
_NUMBERS = re.compile(r"[#\d]+")


def profile(stack: BenchStack, choices: Choices) -> Entry:
    """CPU by thread and by function at 2,000 events/s."""
    stack.fresh()
    rows = []
    for rate in choices.or_rates(2_000):
        seconds = max(choices.seconds, 15)
        found: dict[str, Any] = {}

        def sample(start_s: float, found: dict[str, Any] = found) -> None:
            time.sleep(max(0.0, start_s + choices.warm_s - time.time()))
            found["taskmanager threads, CPU share"] = _threads(stack.stack.pid("taskmanager"))
            for program in ("scorer", "taskmanager"):
                found[f"{program} functions, share of samples"] = _functions(
                    stack.stack.pid(program)
                )

        load = stack.load(round(rate * (choices.warm_s + 3 * seconds)), rate_per_s=rate)
        stack.run(load, warm_s=choices.warm_s, during=sample)
        for name, shares in found.items():
            say(f"{name}: {dict(list(shares.items())[:8])}")
        rows.append({"rate_per_s": rate, "runs": [found], "median": found})
    return {"rows": rows}


def _threads(pid: int) -> dict[str, float]:
    """Share of the process's CPU by kind of thread, over some seconds."""
    before = _cpu_by_thread(pid)
    time.sleep(10)
    after = _cpu_by_thread(pid)
    used = {name: cpu_ms - before.get(name, 0.0) for name, cpu_ms in after.items()}
    return _shares(Counter({name: cpu_ms for name, cpu_ms in used.items() if cpu_ms > 0}))


def _cpu_by_thread(pid: int) -> Counter[str]:
    jstack = shutil.which("jstack")
    if jstack is None:
        raise SystemExit("jstack is not on the path; it comes with a JDK")
    dump = subprocess.run([jstack, str(pid)], capture_output=True, text=True, check=True).stdout
    found: Counter[str] = Counter()
    for thread in _THREAD.finditer(dump):
        found[_NUMBERS.sub("n", thread["name"])] += float(thread["cpu"])
    return found


def _functions(pid: int) -> dict[str, float]:
    """Share of samples by the function that held the lock; empty where py-spy sees no Python."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "stacks"
        done = subprocess.run(
            [
                *(
                    str(PY_SPY),
                    "record",
                    "--pid",
                    str(pid),
                    "--duration",
                    "10",
                    "--rate",
                    "100",
                    "--gil",
                ),
                *("--format", "raw", "--output", str(file)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not file.exists():
            say(f"py-spy: {done.stderr.strip()[-200:]}")
            return {}
        counts: Counter[str] = Counter()
        for line in file.read_text().splitlines():
            frames, _, count = line.rpartition(" ")
            if function := frames.rpartition(";")[2]:
                counts[function] += int(count)
    return _shares(counts)


def _shares(counts: Counter[str]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: round(count / total, 3) for name, count in counts.most_common(SHOWN)}
