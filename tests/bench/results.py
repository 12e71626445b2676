"""`docs/benchmarks/results.json`: what was measured last, by scenario, with machine and code."""

from __future__ import annotations

import datetime
import json
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.local.layout import REPO
from tests.bench.usage import machine

FILE = REPO / "docs" / "benchmarks" / "results.json"


def read(file: Path) -> dict[str, Any]:
    """Everything measured so far."""
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def write(file: Path, name: str, entry: dict[str, Any]) -> None:
    """Put one scenario's entry in place of its last one."""
    everything = read(file)
    everything[name] = {
        "taken_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "code": code_version(),
        "machine": machine(),
        **entry,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(everything, indent=1, sort_keys=False) + "\n")


def code_version() -> str:
    """The commit, with a mark if something was changed since."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=REPO,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def median(runs: Sequence[Any]) -> Any:
    """The median of equal things, number by number; what is no number, or not in all, is left out.

    Examples:
        >>> median([{"a": 1, "b": {"c": 2.0}}, {"a": 3, "b": {"c": 4.0}}, {"a": 9, "b": {}}])
        {'a': 3, 'b': {}}
    """
    first = runs[0]
    if isinstance(first, dict):
        names = [name for name in first if all(name in run for run in runs)]
        found = {name: median([run[name] for run in runs]) for name in names}
        return {name: value for name, value in found.items() if value is not None}
    if isinstance(first, bool):
        return all(runs)
    if isinstance(first, int | float):
        middle = statistics.median(runs)
        return int(middle) if all(isinstance(run, int) for run in runs) else round(middle, 3)
    return None
