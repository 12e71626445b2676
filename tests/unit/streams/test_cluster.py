"""Which checkpoint a job starts from, and when it may not."""

import os
from pathlib import Path

import pytest

from features.definitions import DEFINITION_DIGEST
from schemas.settings import Settings
from streams.cluster import (
    DefinitionsChangedError,
    check_definitions,
    checkpoints_dir,
    newest_checkpoint,
)


def checkpoint(root: Path, name: str, *, written_s: int, is_complete: bool = True) -> Path:
    path = root / name
    path.mkdir(parents=True)
    if is_complete:
        (path / "_metadata").write_bytes(b"")
        os.utime(path / "_metadata", (written_s, written_s))
    return path


def test_no_checkpoint_means_the_beginning_of_the_topics(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "never-made") is None


def test_the_last_written_complete_checkpoint_is_taken_whatever_its_number(tmp_path: Path) -> None:
    checkpoint(tmp_path, "old-job/chk-900", written_s=1_000)
    newest = checkpoint(tmp_path, "new-job/chk-2", written_s=2_000)
    checkpoint(tmp_path, "new-job/chk-3", written_s=3_000, is_complete=False)
    assert newest_checkpoint(tmp_path) == newest


def test_state_of_other_definitions_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    check_definitions(settings)
    check_definitions(settings)
    noted = checkpoints_dir(settings).parent / "definition-digest"
    assert noted.read_text().strip() == DEFINITION_DIGEST
    noted.write_text("of-last-year\n")
    with pytest.raises(DefinitionsChangedError, match=r"of-last-year.*remove"):
        check_definitions(settings)
