"""How a program of the stack ends, seen from outside: a process of its own for each."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_PROGRAM = """
import sys
from clients.program import run_until_stopped
from schemas.errors import RetryableError

def work(settings, stop):
    print(settings.currency, flush=True)
    {work}

sys.exit(run_until_stopped(work))
"""


def started(work: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(work=work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_after_its_work(number: signal.Signals) -> None:
    with started("stop.wait(60); print('finished')") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "EUR\n"
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("finished\n", "")
    assert process.returncode == 0


def test_an_error_of_ours_is_one_line_and_exit_code_1() -> None:
    with started("raise RetryableError('kafka is away')") as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.splitlines()[0].endswith("ERROR RetryableError: kafka is away")
    assert len(errors.splitlines()) == 1


def test_a_bug_is_shown_whole() -> None:
    with started("1 / 0") as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Traceback" in errors
    assert errors.rstrip().endswith("ZeroDivisionError: division by zero")
