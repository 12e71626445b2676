"""The processes of one stack, found in /proc by a mark in their environment.

supervisord knows its own children. This module also finds the processes that are left if
supervisord itself was killed. It never looks at the name of a process.
"""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from infra.local.programs import STACK_VARIABLE

KILL_WAIT_S = 5.0


def of_stack(data_dir: Path) -> list[int]:
    """Ids of the living processes with the mark of this stack in their environment, but our own."""
    mark = f"{STACK_VARIABLE}={data_dir}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if mark in environment.split(b"\0") and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether the process exists and has not ended (a zombie has ended)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def children(pid: int) -> list[tuple[int, str]]:
    """Every process below ``pid``, with its command line."""
    found: list[tuple[int, str]] = []
    for child in _child_ids(pid):
        found += [(child, command_line(child)), *children(child)]
    return found


def kill(pids: Iterable[int]) -> list[int]:
    """SIGKILL each process and wait; gives the ids that are alive after ``KILL_WAIT_S``."""
    left = list(pids)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline_s = time.monotonic() + KILL_WAIT_S
    while (left := [pid for pid in left if is_alive(pid)]) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return left


def _child_ids(pid: int) -> list[int]:
    ids: set[int] = set()
    for table in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            ids.update(int(child) for child in table.read_text().split())
        except OSError:
            continue
    return sorted(ids)


def command_line(pid: int) -> str:
    """The arguments of a process, separated by spaces; empty if it has ended."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()
