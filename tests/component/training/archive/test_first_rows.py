"""The first row of each transaction, in tables and by the rule for single rows."""

from __future__ import annotations

import random

import pandas as pd

from schemas.first_row import RowPlace, first_of
from training.archive.first_rows import is_first_row

COLUMNS = ["transaction_id", "log_partition", "log_offset", "repeat", "computed_at_ms"]


def first_rows(*rows: tuple[str, int, int, bool, int]) -> list[bool]:
    return list(is_first_row(pd.DataFrame(rows, columns=COLUMNS)))


def test_within_a_partition_the_lower_offset_is_first_whenever_it_was_computed() -> None:
    assert first_rows(("a", 0, 1, False, 9), ("b", 0, 2, False, 9), ("a", 0, 3, False, 1)) == [
        True,
        True,
        False,
    ]


def test_between_partitions_the_row_computed_first_is_first() -> None:
    assert first_rows(("a", 0, 1, False, 9), ("a", 1, 5, False, 8)) == [False, True]
    assert first_rows(("a", 0, 1, False, 9), ("a", 1, 5, False, 9)) == [True, False]


def test_a_row_marked_as_a_repeat_is_never_first() -> None:
    assert first_rows(("a", 0, 1, True, 1), ("a", 0, 2, False, 2)) == [False, True]


def test_no_rows_have_no_first_one() -> None:
    assert first_rows() == []


def test_both_forms_of_the_rule_agree_on_random_rows() -> None:
    random.seed(16)
    for _ in range(50):
        places = [
            RowPlace(partition, offset, random.randrange(4))
            for partition in range(3)
            for offset in range(random.randrange(6))
        ]
        ids = [random.choice("abc") for _ in places]
        table = pd.DataFrame(
            [
                (i, p.partition, p.offset, False, p.computed_at_ms)
                for i, p in zip(ids, places, strict=True)
            ],
            columns=COLUMNS,
        )
        wanted = set()
        for each in set(ids):
            of_id = [place for i, place in zip(ids, places, strict=True) if i == each]
            wanted.add(of_id[first_of(of_id)])
        chosen = is_first_row(table)
        assert {p for p, is_first in zip(places, chosen, strict=True) if is_first} == wanted
