"""The metrics page of an API with several workers: the sums over all of them.

Each worker keeps its metrics in files of one directory, as prometheus_client's multiprocess mode
does; any worker can give the page. The counts of workers that have ended are kept, in one file for
all of them, so the number of files does not grow with restarts; their gauges are deleted.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Must be set before prometheus_client is imported, so in the parent of the workers."""
ENDED: Final = 0
"""Stands for the process id of all workers that have ended."""


def start_directory(directory: Path) -> None:
    """Make the directory, empty it, and let the workers to come use it."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink()
    os.environ[DIRECTORY_VARIABLE] = str(directory)


class WorkerMetrics:
    """Gives the page of all workers."""

    def __init__(self, directory: Path, *, is_alive: Callable[[int], bool]) -> None:
        """Read the files of a directory.

        Args:
            directory: as given to `start_directory`.
            is_alive: whether a process is a living worker.
        """
        self._directory = directory
        self._is_alive = is_alive

    def page(self) -> bytes:
        """Give all metrics in the Prometheus text format. Blocks: for some small local files."""
        # One at a time: between adding up and deleting, a worker would be counted twice.
        with (self._directory / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for file in sorted(self._directory.glob("*.db")):
                self._put_away(file)
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=str(self._directory))
            return generate_latest(registry)

    def _put_away(self, file: Path) -> None:
        kind, _, process_id = file.stem.rpartition("_")
        if int(process_id) == ENDED or self._is_alive(int(process_id)):
            return
        if not kind.startswith("gauge"):
            _add(file, to=self._directory / f"{kind}_{ENDED}.db")
        file.unlink()


def is_process(process_id: int) -> bool:
    """Say whether a process exists."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _add(file: Path, *, to: Path) -> None:
    sums = MmapedDict(str(to))
    try:
        for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):
            before, _ = sums.read_value(key)
            sums.write_value(key, before + value, 0.0)
    finally:
        sums.close()
