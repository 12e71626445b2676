"""Runs a PyFlink client, which submits a job to a Flink cluster and waits for it.

The client is a process of the Flink environment. Asks the cluster for free slots, too. Called by
the backfill, by batch scoring and by batch features.
"""

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.errors import RetryableError

_ERROR_LINES_SHOWN: Final = 5
_END_S_MAX: Final = 10.0
_REQUEST_S_MAX: Final = 5.0
_PYTHON_ERROR: Final = re.compile(r"PythonException: <class '[\w.]+'>: (.*)")


class NoFreeSlotsError(RetryableError):
    """Flink does not answer, or all of its task slots are taken."""


def free_slots(flink_rest_url: str) -> int:
    """Give how many tasks can be started now; at least 1.

    Raises:
        NoFreeSlotsError: Flink does not answer, or has no free slot.
    """
    try:
        slots = int(ask_flink(f"{flink_rest_url}/overview")["slots-available"])
    except OSError as error:
        raise NoFreeSlotsError(
            f"Flink at {flink_rest_url} does not answer: {error}; start the stack with `weir up`"
        ) from error
    if slots < 1:
        raise NoFreeSlotsError(
            f"Flink at {flink_rest_url} has no free task slot: the velocity job uses those of its "
            "TaskManager; start one for batch jobs with `weir up --with batch`"
        )
    return slots


def ask_flink(url: str) -> dict[str, Any]:
    """Read an answer of Flink's REST interface.

    Blocks: at most 5 s.

    Raises:
        OSError: no answer.
    """
    with urllib.request.urlopen(url, timeout=_REQUEST_S_MAX) as reply:  # noqa: S310  # a setting
        found: dict[str, Any] = json.load(reply)
    return found


@dataclass(frozen=True, slots=True)
class FlinkClient:
    """How to start a PyFlink client that submits a job to the cluster.

    Attributes:
        python: the interpreter of the Flink environment.
        directory: the working directory of the client.
        environment: its environment variables.
        java_options: of its JVM.
        log: where the output of a client that failed is kept.
    """

    python: Path
    directory: Path
    environment: Mapping[str, str]
    java_options: tuple[str, ...]
    log: Path

    @contextmanager
    def started(
        self, module: str, arguments: Sequence[str], *, scratch: Path
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a module for a block; the client is ended if it still runs after the block.

        Args:
            module: of the Flink environment.
            arguments: of its command line.
            scratch: for temporary files and the output.
        """
        java = (*self.java_options, f"-Djava.io.tmpdir={scratch}")
        with (
            _output(scratch).open("wb") as lines,
            subprocess.Popen(
                [str(self.python), "-m", module, *arguments],
                cwd=self.directory,
                env={
                    **self.environment,
                    "TMPDIR": str(scratch),
                    "FLINK_ENV_JAVA_OPTS": " ".join(java),
                },
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(timeout=_END_S_MAX)
                except subprocess.TimeoutExpired:
                    process.kill()

    def run(self, module: str, arguments: Sequence[str], *, scratch: Path) -> bool:
        """Run a module to its end; False if it failed."""
        with self.started(module, arguments, scratch=scratch) as process:
            return process.wait() == 0

    def keep_log(self, scratch: Path) -> str:
        """Keep the output of a client that failed; give what it says of the causes."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        _output(scratch).replace(self.log)
        return f"{_causes(self.log)} (all of it: {self.log})"


def _output(scratch: Path) -> Path:
    return scratch / "client.log"


def _causes(log: Path) -> str:
    """What Java and Python say of the causes, without the places in the code."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    causes = [line.strip() for line in lines if "Caused by:" in line or "Error:" in line]
    # Of an error in our own code, its text says all.
    if told := [found[1] for cause in causes if (found := _PYTHON_ERROR.search(cause))]:
        return told[-1]
    return " | ".join(dict.fromkeys(causes[-_ERROR_LINES_SHOWN:])) or "It says no cause"
