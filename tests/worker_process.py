"""Runs the scorer in a child process, on topics of the test.

Started as ``python -m tests.worker_process SETTINGS CHANNELS``, both JSON. `running_worker` kills
it at the end of a block.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from schemas.settings import Settings
from scoring.worker.app import run
from scoring.worker.batch import Channels

REPO = Path(__file__).parents[1]
EXIT_WITHIN_S = 60.0


class WorkerProcess:
    """A running scorer; ``log`` is its log file."""

    def __init__(self, settings: Settings, channels: Channels, log: Path) -> None:
        self.log = log
        command = (sys.executable, "-m", "tests.worker_process")
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, settings.model_dump_json(), json.dumps(asdict(channels))],
                cwd=REPO,
                env={**os.environ, "PYTHONPATH": str(REPO)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self._process.kill()
        self._process.wait(EXIT_WITHIN_S)

    def terminate(self) -> int:
        """Send SIGTERM; gives the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(EXIT_WITHIN_S)

    def wait(self) -> int:
        """Wait until it ends by itself; gives the exit code."""
        return self._process.wait(EXIT_WITHIN_S)

    def wait_for_log(self, text: str, *, within_s: float = 60.0) -> None:
        """Wait until the log contains ``text``."""
        deadline_s = time.monotonic() + within_s
        while text not in self.log.read_text():
            assert time.monotonic() < deadline_s, f"no {text!r} in {self.log}:\n{self.tail()}"
            assert self._process.poll() is None, f"it ended:\n{self.tail()}"
            time.sleep(0.1)

    def tail(self) -> str:
        """The end of the log."""
        return self.log.read_text()[-3_000:]


@contextmanager
def running_worker(settings: Settings, channels: Channels, log: Path) -> Iterator[WorkerProcess]:
    """Run a scorer for the duration of a block; kills it at the end."""
    worker = WorkerProcess(settings, channels, log)
    try:
        yield worker
    finally:
        worker.kill()


if __name__ == "__main__":
    run(Settings.model_validate_json(sys.argv[1]), Channels(**json.loads(sys.argv[2])))
