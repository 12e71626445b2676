"""Runs a client of a measurement as a process of its own, so that its work is not counted."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from infra.local.layout import REPO


def run_client(module: str, spec: Any) -> dict[str, Any]:
    """Run a module with one argument, `spec` as JSON, and give the JSON that it prints.

    What it writes to its standard error goes to that of this process.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-m", module, json.dumps(spec)]
    done = subprocess.run(command, cwd=REPO, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{module} ended with {done.returncode}; its error is above")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
