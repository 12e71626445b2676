"""Which engine and which Python the doctor finds, and what is wrong with them."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from features.engine.version import ENGINE_VERSION
from infra.local import engine

PYTHON = Path(sys.executable)


def environment(folder: Path, *, answer: str, status: int = 0) -> Path:
    """A program that answers like the Python of an environment."""
    folder.mkdir()
    program = folder / "python"
    program.write_text(
        f"#!/bin/sh\n{'echo' if not status else 'echo >&2'} '{answer}'\nexit {status}\n"
    )
    program.chmod(0o755)
    return program


def library(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_the_installed_engine_is_the_one_that_the_code_needs() -> None:
    found = engine.installed_engine(PYTHON, PYTHON)
    assert found == f"weir_engine {ENGINE_VERSION}, the same in 2 environments"


def test_libraries_of_different_sources_are_named(tmp_path: Path) -> None:
    pythons = [
        environment(tmp_path / name, answer=f"0.1.0 {library(tmp_path / f'{name}.so', content)}")
        for name, content in (("a", b"1"), ("b", b"2"))
    ]
    with pytest.raises(ValueError, match=r"a\.so and .*b\.so were built from different sources"):
        engine.installed_engine(*pythons)


def test_the_reason_of_a_refusal_is_passed_on(tmp_path: Path) -> None:
    python = environment(tmp_path / "a", answer="EngineVersionError: has version 0.0.9", status=1)
    with pytest.raises(ValueError, match=r"EngineVersionError: has version 0\.0\.9"):
        engine.installed_engine(python)


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        ("/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0", "of the distribution"),
        ("/srv/pyenv/versions/3.11.7/lib/libpython3.11.so.1.0", "of pyenv"),
        ("/opt/python/lib/libpython3.11.so.1.0", "of another build"),
    ],
)
def test_the_python_of_flink_is_given_with_its_origin(
    tmp_path: Path, path: str, origin: str
) -> None:
    python = environment(tmp_path / "a", answer=f"3.11.7 {path}")
    assert engine.python_of_flink(python) == f"Python 3.11.7 {origin}, {path}"


def test_a_python_without_a_shared_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no shared library"):
        engine.python_of_flink(environment(tmp_path / "a", answer="3.11.7"))


def test_a_process_without_an_operator_has_loaded_no_engine() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert engine.loaded_by(process.pid).startswith("no engine yet")
        process.kill()


def test_an_engine_that_was_replaced_while_it_runs_is_named(tmp_path: Path) -> None:
    path = library(tmp_path / "weir_engine.abi3.so", b"\x00" * mmap.PAGESIZE)
    descriptor = os.open(path, os.O_RDONLY)
    with mmap.mmap(descriptor, mmap.PAGESIZE, prot=mmap.PROT_READ):
        os.close(descriptor)
        # The tests may have loaded the real engine; the copy is mapped beside it.
        assert str(path) in engine.loaded_by(os.getpid())
        shutil.move(library(tmp_path / "new", b"new"), path)
        with pytest.raises(LookupError, match=r"weir_engine\.abi3\.so was replaced"):
            engine.loaded_by(os.getpid())


def test_the_python_of_an_environment_is_the_one_it_was_made_of() -> None:
    found = engine.python_of_program(PYTHON)
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}." in found
    assert found.endswith(str(Path(sys._base_executable).resolve()))  # type: ignore[attr-defined]
