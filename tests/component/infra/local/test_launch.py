"""The launcher: it waits, cleans, and then is the program, under the same process id."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clients import probes as readiness
from infra.local import launch
from infra.local.layout import REPO


def launched(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "infra.local.launch", *arguments],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_launcher_becomes_the_program() -> None:
    with launched("--", sys.executable, "-c", "import os; print(os.getpid())") as process:
        out, _ = process.communicate(timeout=60)
    assert int(out) == process.pid


def test_a_program_starts_only_when_its_need_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = iter([False, False, True])
    monkeypatch.setattr(readiness, "is_ready", lambda target: next(asked))
    launch.wait_for("kafka=127.0.0.1:1")
    assert list(asked) == []


def test_a_need_that_never_answers_ends_the_wait_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launch, "WAIT_S_MAX", 0.0)
    with pytest.raises(SystemExit, match=r"kafka=127\.0\.0\.1:1 did not answer.*weir doctor"):
        launch.wait_for("kafka=127.0.0.1:1")


def test_a_wait_is_over_as_soon_as_a_server_appears() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        target = f"redis=127.0.0.1:{server.getsockname()[1]}"
        with launched("--wait", target, "--", sys.executable, "-c", "print('started')") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == f"waiting for {target}\n"
            server.listen()
            answer = threading.Thread(target=_pong, args=(server,))
            answer.start()
            out, _ = process.communicate(timeout=60)
            answer.join()
    assert out.splitlines()[-1] == "started"


def test_a_directory_is_emptied_whatever_was_there(tmp_path: Path) -> None:
    scratch = tmp_path / "deep" / "scratch"
    launch.empty_directory(scratch)
    (scratch / "left").mkdir()
    (scratch / "left" / "file").touch()
    launch.empty_directory(scratch)
    assert list(scratch.iterdir()) == []


def test_a_program_tied_to_a_parent_that_has_gone_does_not_start() -> None:
    with launched("--tied", "1", "--", sys.executable, "-c", "print('started')") as process:
        out, error = process.communicate(timeout=60)
    assert (out, process.returncode) == ("", 1)
    assert "the parent, pid 1, ended" in error


def _pong(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(64)
        connection.sendall(b"+PONG\r\n")
