"""Repeats that batch scoring leaves out are those that training leaves out."""

from __future__ import annotations

from pathlib import Path

from operations.batch_scoring.selection import repeats
from tests.scored_archive import write_archive
from training.archive.feature_rows import archived_feature_rows
from training.archive.store import ArchiveTable


def test_the_rows_that_are_left_are_those_of_the_data_sets(tmp_path: Path) -> None:
    url = str(tmp_path)
    write_archive(url, 600, days=3, repeats=40, chunk_rows=250)
    table = ArchiveTable(url, "features")
    left_out = repeats([file.removeprefix("file://") for file in table.files()])
    assert sorted(left_out["log_offset"].to_pylist()) == list(range(600, 640))
    assert set(archived_feature_rows(url)["log_offset"]) == set(range(600))


def test_an_archive_without_repeats_leaves_nothing_out(tmp_path: Path) -> None:
    write_archive(str(tmp_path), 20)
    files = ArchiveTable(str(tmp_path), "features").files()
    assert len(repeats([file.removeprefix("file://") for file in files])) == 0
