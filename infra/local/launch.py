"""Waits until the services that a program needs answer, then becomes that program.

supervisord starts every program through this module, so a program whose broker is down waits
instead of crashing in a loop. Usage:

    python -m infra.local.launch [--tied PID] [--wait NAME=ADDRESS]... [--clean DIR]... -- COMMAND

Uses only the standard library, because it is the first to run, in either environment.
"""

import argparse
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from clients import probes

WAIT_S_MAX = 120.0
"""After that the launcher ends with a message, and supervisord tries again after a longer wait."""

_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str]) -> None:
    """Wait, empty directories, and replace this process by the command.

    Raises:
        SystemExit: a service did not answer within ``WAIT_S_MAX``, or the parent has ended.
    """
    options = _parse(argv)
    if options.tied:
        die_with(options.tied)
    for target in options.wait:
        wait_for(target)
    for directory in options.clean:
        empty_directory(directory)
    os.execvp(options.command[0], options.command)


def wait_for(target: str) -> None:
    """Block until the target answers, at most ``WAIT_S_MAX``."""
    if probes.is_ready(target):
        return
    print(f"waiting for {target}", flush=True)
    if not probes.wait_until(lambda: probes.is_ready(target), timeout_s=WAIT_S_MAX):
        sys.exit(f"{target} did not answer within {WAIT_S_MAX:.0f} s; see `weir doctor`")
    print(f"{target} answers", flush=True)


def empty_directory(directory: Path) -> None:
    """Delete the content of a directory; create it if it does not exist."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)


def die_with(parent_pid: int) -> None:
    """Ask Linux to send this process SIGTERM when its parent ends; kept across exec."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:
        sys.exit(f"the parent, pid {parent_pid}, ended while this process started")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="infra.local.launch", description=__doc__)
    parser.add_argument("--tied", type=int, metavar="PID", help="end when this parent ends")
    parser.add_argument("--wait", action="append", default=[], metavar="NAME=ADDRESS")
    parser.add_argument("--clean", action="append", default=[], type=Path, metavar="DIR")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(sys.argv[1:])
