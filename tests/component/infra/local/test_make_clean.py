"""`make clean` deletes the only copy of a stack's data, so it deletes nothing unless it is told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from infra.local.layout import REPO


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """What a stack leaves that has been stopped."""
    directory = tmp_path / "weir"
    for name in ("run/supervisord.conf", "kafka/meta.properties", "archive/features/part.parquet"):
        path = directory / name
        path.parent.mkdir(parents=True)
        path.touch()
    return directory


def make_clean(data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", "clean"],
        cwd=REPO,
        env={**os.environ, "WEIR_DATA_DIR": str(data_dir), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("answer", ["", "no", "y"])
def test_without_a_yes_nothing_is_deleted(data_dir: Path, answer: str) -> None:
    done = make_clean(data_dir, CONFIRM=answer)
    assert done.returncode != 0
    assert "the only copy of the transactions" in done.stdout
    assert "nothing was deleted; CONFIRM=yes" in done.stderr
    assert len([path for path in data_dir.rglob("*") if path.is_file()]) == 3


def test_with_a_yes_the_data_is_deleted(data_dir: Path) -> None:
    done = make_clean(data_dir, CONFIRM="yes")
    assert done.returncode == 0, done.stderr
    assert f"deleted {data_dir}" in done.stdout
    assert not data_dir.exists()


def test_a_directory_that_is_no_stack_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = make_clean(tmp_path, CONFIRM="yes")
    assert (done.returncode, "no stack in" in done.stdout) == (0, True)
    assert (tmp_path / "mine").exists()
