"""Processes are found by the mark in their environment, never by name."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import processes
from infra.local.programs import STACK_VARIABLE

FOREVER = "import sys; print('ready', flush=True); sys.stdin.read()"


@pytest.fixture
def marked(tmp_path: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that belongs to the stack of ``tmp_path``."""
    with subprocess.Popen(
        [sys.executable, "-c", FOREVER],
        env={STACK_VARIABLE: str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_stack_finds_its_own_processes_only(
    marked: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    assert processes.of_stack(tmp_path) == [marked.pid]
    assert processes.of_stack(tmp_path / "other") == []
    assert processes.of_stack(tmp_path.parent) == []


def test_kill_ends_a_process_and_does_not_mind_one_that_has_gone(
    marked: "subprocess.Popen[bytes]",
) -> None:
    assert processes.is_alive(marked.pid)
    assert processes.kill([marked.pid]) == []
    assert not processes.is_alive(marked.pid)
    marked.wait()
    assert processes.kill([marked.pid]) == []


def test_children_are_found_at_every_depth() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    with subprocess.Popen(
        [sys.executable, "-c", code, FOREVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        below = processes.children(os.getpid())
        commands = dict(below)
        assert parent.pid in commands
        (grandchild,) = (pid for pid, _ in processes.children(parent.pid))
        assert FOREVER in commands[grandchild]
        parent.communicate(timeout=60)


def test_a_process_that_ended_has_no_command_line(marked: "subprocess.Popen[bytes]") -> None:
    assert FOREVER in processes.command_line(marked.pid)
    marked.kill()
    marked.wait()
    assert processes.command_line(marked.pid) == ""
