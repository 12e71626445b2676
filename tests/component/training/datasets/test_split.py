from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from training.datasets.split import split_by_time, split_stratified


def times(*event_times_ms: int) -> pd.DataFrame:
    return pd.DataFrame({"event_time_ms": event_times_ms})


def parts_of(table: pd.DataFrame) -> list[list[int]]:
    split = split_by_time(table)
    return [part["event_time_ms"].tolist() for part in (split.train, split.validation, split.test)]


def test_the_oldest_70_percent_are_train_rows_and_the_newest_15_percent_test_rows() -> None:
    parts = parts_of(times(*range(100)))
    assert parts == [list(range(70)), list(range(70, 85)), list(range(85, 100))]


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        # The row at 70 % is the one at index 7, that at 85 % the one at index 8.
        (times(1, 2, 3, 4, 5, 6, 6, 7, 8, 9), [[1, 2, 3, 4, 5, 6, 6], [7], [8, 9]]),
        (times(1, 2, 3, 4, 5, 6, 7, 7, 8, 9), [[1, 2, 3, 4, 5, 6], [7, 7], [8, 9]]),
        (times(1, 2, 3, 4, 5, 6, 7, 8, 8, 9), [[1, 2, 3, 4, 5, 6, 7], [], [8, 8, 9]]),
        (times(1, 2, 3, 7, 7, 7, 7, 7, 8, 8), [[1, 2, 3], [7, 7, 7, 7, 7], [8, 8]]),
        (times(7, 7, 7, 7, 7, 7, 7, 7, 7, 7), [[], [], [7] * 10]),
        (times(7), [[], [], [7]]),
    ],
    ids=["tie before a border", "tie on it", "tie on the other", "many", "all", "one row"],
)
def test_rows_of_equal_time_on_a_border_all_go_to_the_later_part(
    table: pd.DataFrame, wanted: list[list[int]]
) -> None:
    assert parts_of(table) == wanted


def test_no_row_of_a_later_part_is_older_than_one_of_an_earlier_and_none_is_lost() -> None:
    rng = np.random.default_rng(11)
    for rows in (2, 7, 40, 333):
        # Few different times, so that many borders are inside a tie.
        table = times(*sorted(rng.integers(0, rows // 2 + 1, rows).tolist()))
        split = split_by_time(table)
        parts = [split.train, split.validation, split.test]
        assert pd.concat(parts).index.tolist() == table.index.tolist()
        assert split.fitted.index.tolist() + split.test.index.tolist() == table.index.tolist()
        filled = [part["event_time_ms"] for part in parts if len(part)]
        for earlier, later in pairwise(filled):
            assert earlier.max() < later.min()


def stratified_table(frauds: int, rows_in_all: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"event_time_ms": range(rows_in_all), "is_fraud": [n < frauds for n in range(rows_in_all)]}
    )


def test_a_stratified_split_keeps_the_share_of_fraud_and_every_row_once() -> None:
    split = split_stratified(stratified_table(100, 1_000))
    parts = (split.train, split.validation, split.test)
    assert [len(part) for part in parts] == [700, 150, 150]
    assert [int(part["is_fraud"].sum()) for part in parts] == [70, 15, 15]
    assert sorted(pd.concat(parts)["event_time_ms"]) == list(range(1_000))


def test_a_stratified_split_depends_on_the_table_and_the_seed_only() -> None:
    table = stratified_table(100, 1_000)
    first, second, other = (split_stratified(table, seed=seed).test for seed in (42, 42, 43))
    pd.testing.assert_frame_equal(first, second)
    pd.testing.assert_frame_equal(first, split_stratified(table).test)
    assert first["event_time_ms"].tolist() != other["event_time_ms"].tolist()
