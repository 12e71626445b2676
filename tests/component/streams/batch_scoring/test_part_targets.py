"""A part that becomes a Parquet file is there as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.batch_scoring.part_targets import PartNotStoredError, parquet_file

DECISIONS = pa.array(["APPROVE", "BLOCK"]).dictionary_encode()
ENTITIES = pa.array(["a", "b"])
SCORES = np.array([0.25, 0.95])


def test_the_file_has_the_scores_and_what_they_have_in_common(tmp_path: Path) -> None:
    path = tmp_path / "below" / "part.parquet"
    with parquet_file(path, constants={"model_version": "3", "part": 7}) as target:
        target.write(ENTITIES, SCORES, DECISIONS)
        assert not path.exists()
    assert pq.read_table(path).to_pylist() == [
        {"entity": "a", "score": 0.25, "decision": "APPROVE", "model_version": "3", "part": 7},
        {"entity": "b", "score": 0.95, "decision": "BLOCK", "model_version": "3", "part": 7},
    ]


def test_a_full_disk_is_an_error_that_says_so_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    (tmp_path / ".part.parquet.unfinished").symlink_to("/dev/full")
    with (
        pytest.raises(PartNotStoredError, match=r"No space left.*free some space"),
        parquet_file(path, constants={}) as target,
    ):
        target.write(ENTITIES, SCORES, DECISIONS)
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_fails_leaves_the_file_of_an_earlier_try_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    path.write_bytes(b"earlier")

    def fail_half_way() -> None:
        with parquet_file(path, constants={}) as target:
            target.write(ENTITIES, SCORES, DECISIONS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]
