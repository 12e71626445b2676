from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.batch import BATCH_NAMES
from training.datasets.split import Split, SplitKind, split_table
from training.datasets.split_checks import check_split, parts_report
from training.errors import (
    DuplicateRowsError,
    FutureFeaturesError,
    NullShareError,
    OneClassError,
)

BOTH_KINDS = pytest.mark.parametrize("kind", list(SplitKind))
ROWS = 400


def table() -> pd.DataFrame:
    """Every tenth row is a fraud; the users take turns and have a history."""
    at = np.arange(ROWS)
    return pd.DataFrame(
        {
            "transaction_id": [f"t{n}" for n in at],
            "user_id": [f"u{n % 40}" for n in at],
            "merchant_id": "m",
            "amount_minor": at * 1.0,
            "event_time_ms": at * 1_000,
            "mean": 1.0,
            **dict.fromkeys(BATCH_NAMES, 2.0),
            "is_fraud": at % 10 == 0,
        }
    )


def split(kind: SplitKind, rows: pd.DataFrame | None = None) -> Split:
    return split_table(table() if rows is None else rows, kind)


@BOTH_KINDS
def test_an_ordinary_split_passes(kind: SplitKind) -> None:
    check_split(split(kind), kind)


@BOTH_KINDS
@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_a_part_of_one_class_is_refused_by_name(kind: SplitKind, name: str) -> None:
    good = split(kind)
    for is_fraud in (False, True):
        part = good.parts()[name].assign(is_fraud=is_fraud)
        with pytest.raises(OneClassError, match=f"{name} rows are fraud, each part"):
            check_split(replace(good, **{name: part}), kind)
    with pytest.raises(OneClassError, match=f"0 of the 0 {name} rows"):
        check_split(replace(good, **{name: good.test[:0]}), kind)


@BOTH_KINDS
@pytest.mark.parametrize("column", ["mean", BATCH_NAMES[1]])
def test_nulls_of_one_part_are_refused_though_the_whole_table_has_few(
    kind: SplitKind, column: str
) -> None:
    good = split(kind)
    for nulls, is_refused in ((6, False), (7, True)):
        values = good.test[column].copy()
        values.iloc[:nulls] = np.nan
        changed = replace(good, test=good.test.assign(**{column: values}))
        assert len(good.test) == 60
        if is_refused:
            with pytest.raises(NullShareError, match=f"of the test rows, .*{column} 11.7%"):
                check_split(changed, kind)
        else:
            check_split(changed, kind)


@BOTH_KINDS
def test_users_without_history_may_lack_batch_features(kind: SplitKind) -> None:
    history, mean = BATCH_NAMES[:2]
    check_split(split(kind, table().assign(**{history: 0.0, mean: np.nan})), kind)


@BOTH_KINDS
def test_a_transaction_in_two_parts_is_refused(kind: SplitKind) -> None:
    good = split(kind)
    again = good.test.copy()
    again.loc[again.index[0], "transaction_id"] = good.train["transaction_id"].iloc[0]
    with pytest.raises(DuplicateRowsError, match=r"2 rows share .* in test and train"):
        check_split(replace(good, test=again), kind)


def test_copies_under_other_ids_are_refused_if_a_stratified_split_separates_them() -> None:
    rows = table()
    content = ["user_id", "merchant_id", "amount_minor", "event_time_ms"]
    # Each transaction is there twice: at random, a third of the copies are in another part.
    rows.loc[1::2, content] = rows.loc[0::2, content].to_numpy()
    with pytest.raises(DuplicateRowsError, match=r"of 60 validation rows .* under several ids"):
        check_split(split(SplitKind.STRATIFIED, rows), SplitKind.STRATIFIED)
    # By time they are together, because their times are equal.
    check_split(split(SplitKind.TIME, rows), SplitKind.TIME)


def test_parts_by_time_must_follow_each_other() -> None:
    good = split(SplitKind.TIME)
    first_of_test_ms = int(good.test["event_time_ms"].min())
    for last_ms, is_refused in ((first_of_test_ms - 1, False), (first_of_test_ms, True)):
        times_ms = good.validation["event_time_ms"].copy()
        times_ms.iloc[-1] = last_ms
        changed = replace(good, validation=good.validation.assign(event_time_ms=times_ms))
        if is_refused:
            with pytest.raises(FutureFeaturesError, match="the test rows begin at"):
                check_split(changed, SplitKind.TIME)
        else:
            check_split(changed, SplitKind.TIME)
    check_split(split(SplitKind.STRATIFIED), SplitKind.STRATIFIED)


def test_the_report_says_how_much_the_parts_have_in_common() -> None:
    rows = table().assign(user_id=[f"u{max(n - 280, 0)}" for n in range(ROWS)])
    report = parts_report(split(SplitKind.TIME, rows))
    assert report["train"] == {
        "rows": 280,
        "frauds": 28,
        "fraud_share": 0.1,
        "first_ms": 0,
        "last_ms": 279_000,
        "users": 1,
    }
    # The first validation row is of the only user of the train rows.
    assert report["validation"]["known_user_share"] == 1 / 60
    assert report["test"]["known_user_share"] == 0
    assert report["test"]["copy_share"] == 0
