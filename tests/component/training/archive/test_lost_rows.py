"""Rows of one table that another lacks, against sets of places."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clients.log_record import Record
from schemas.topics import LABELS
from tests.builders import LIMITS
from training.archive import lost_rows
from training.archive.columns import to_batches
from training.archive.lost_rows import LostRows, are_in
from training.archive.scan import scan_ranges
from training.archive.store import ArchiveTable

PLACE = ["log_partition", "log_offset", "log_timestamp_ms"]
EVERYTHING = dict.fromkeys(range(3), (0, 100))

places = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(1_000, 1_002)),
    unique_by=lambda place: place[:2],
)


def table_of(url: Path, commits: list[list[tuple[int, int, int]]]) -> ArchiveTable:
    table = ArchiveTable(str(url), LABELS)
    table.open_or_create()
    for commit in commits:
        records = [Record(*place, b"junk") for place in commit]
        ends: dict[int, int] = {}
        for partition, offset, _ in commit:
            ends[partition] = max(ends.get(partition, 0), offset + 1)
        table.append(to_batches(LABELS, records, limits=LIMITS), next_offsets=ends)
    return table


@pytest.mark.parametrize("slice_offsets", [3, 1_000])
@given(old=places, new=places)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_counted_that_only_the_old_table_has(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    slice_offsets: int,
    old: list[tuple[int, int, int]],
    new: list[tuple[int, int, int]],
) -> None:
    monkeypatch.setattr(lost_rows, "SLICE_OFFSETS", slice_offsets)
    root = tmp_path_factory.mktemp("tables")
    old_table = table_of(root / "old", [old])
    # In two files whose ranges of offsets overlap.
    new_table = table_of(root / "new", [new[::2], new[1::2]])
    lost = LostRows()
    lost.look(old_table, new_table)
    assert lost.count == len(set(old) - set(new))
    assert lost.partitions == {place[0] for place in old}
    if old:
        rows = scan_ranges(old_table, PLACE, EVERYTHING)
        theirs = zip(*(rows[name].to_pylist() for name in PLACE), strict=True)
        assert are_in(rows, new_table).tolist() == [place in set(new) for place in theirs]


def test_a_second_look_counts_only_what_came_since(tmp_path: Path) -> None:
    old = table_of(tmp_path / "old", [[(0, 0, 1_000), (0, 1, 1_000)]])
    new = table_of(tmp_path / "new", [[(0, 0, 1_000)]])
    lost = LostRows()
    lost.look(old, new)
    assert lost.count == 1
    old = table_of(tmp_path / "old", [[(0, 2, 1_000)], [(1, 0, 1_000)]])
    lost.look(old, new)
    assert lost.count == 3
    lost.look(old, new)
    assert lost.count == 3


def test_rows_of_a_missing_file_count_as_many_as_the_new_table_is_short_of(tmp_path: Path) -> None:
    old = table_of(tmp_path / "old", [[(0, 0, 1_000), (0, 1, 1_000)], [(0, 2, 1_000)]])
    Path(old.files()[0]).unlink()
    whole = table_of(tmp_path / "whole", [[(0, at, 1_000) for at in range(3)]])
    short = table_of(tmp_path / "short", [[(0, 2, 1_000)]])
    for new, count in ((whole, 0), (short, 2)):
        lost = LostRows()
        lost.look(old, new)
        assert lost.count == count
