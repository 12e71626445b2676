"""Runs a Java program of a test, a single source file, against Flink and our own classes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from infra.local.jvm import java
from infra.local.layout import REPO, Layout


def printed(program: Path, *arguments: str, timeout_s: float = 60) -> list[str]:
    """The lines that the program prints.

    Raises:
        AssertionError: it failed; the message has the end of what it said.
        subprocess.TimeoutExpired: it took longer than ``timeout_s``.
    """
    jars = Layout(REPO, REPO).flink_lib / "*"
    command = [java(), "-cp", str(jars), str(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    return done.stdout.splitlines()
