import numpy as np
import pandas as pd
import pytest

from training.datasets.labelled_rows import (
    MATURITY_MS,
    check_label_times,
    check_null_share,
    join_labels,
)
from training.errors import (
    FutureFeaturesError,
    NoFeatureRowsError,
    NullShareError,
    OneClassError,
)

NOW_MS = 1_800_000_000_000


def rows(*ages_ms: int) -> pd.DataFrame:
    """Make rows t-0, t-1, ... of these ages; the clock shows NOW_MS."""
    return pd.DataFrame(
        {
            "transaction_id": [f"t-{at}" for at in range(len(ages_ms))],
            "event_time_ms": [NOW_MS - age_ms for age_ms in ages_ms],
        }
    )


def labels(**fraud: bool) -> pd.DataFrame:
    """Make labels that were observed now: ``t_0=True`` is the label of t-0."""
    return pd.DataFrame(
        {
            "transaction_id": [name.replace("_", "-") for name in fraud],
            "observed_time_ms": [NOW_MS] * len(fraud),
            "is_fraud": list(fraud.values()),
        }
    )


# age:    MATURITY + 1   MATURITY    MATURITY   MATURITY - 1       0
#              t-0          t-1         t-2          t-3          t-4
#         legitimate   legitimate   its label     left out     left out
def test_no_label_means_legitimate_from_the_maturity_on() -> None:
    ages = (MATURITY_MS + 1, MATURITY_MS, MATURITY_MS, MATURITY_MS - 1, 0)
    table = join_labels(rows(*ages), labels(t_2=True), as_of_ms=NOW_MS)
    assert dict(zip(table["transaction_id"], table["is_fraud"], strict=True)) == {
        "t-0": False,
        "t-1": False,
        "t-2": True,
    }


# If only the reported young rows were kept, every young row would be a fraud.
def test_a_young_row_is_left_out_whatever_is_known_of_it() -> None:
    ages = (MATURITY_MS, MATURITY_MS, MATURITY_MS - 1, MATURITY_MS - 1, 0)
    table = join_labels(
        rows(*ages), labels(t_0=True, t_2=True, t_3=False, t_4=True), as_of_ms=NOW_MS
    )
    assert table["transaction_id"].tolist() == ["t-0", "t-1"]


def test_young_rows_may_be_kept_as_legitimate_for_a_demo() -> None:
    table = join_labels(rows(10, 5, 0), labels(t_1=True), as_of_ms=NOW_MS, keep_immature=True)
    assert table["is_fraud"].tolist() == [False, True, False]


def test_a_label_that_says_legitimate_is_a_label() -> None:
    table = join_labels(
        rows(MATURITY_MS + 1, MATURITY_MS), labels(t_0=False, t_1=True), as_of_ms=NOW_MS
    )
    assert table["is_fraud"].tolist() == [False, True]


def test_rows_are_mature_by_the_time_given_whatever_the_data_says() -> None:
    known = labels(t_0=True)
    given = rows(MATURITY_MS, MATURITY_MS, 0)
    far = rows(MATURITY_MS, MATURITY_MS, 0, NOW_MS - 253_402_300_799_000)
    for table in (given, far):
        assert join_labels(table, known, as_of_ms=NOW_MS)["transaction_id"].tolist() == [
            "t-0",
            "t-1",
        ]
    assert len(join_labels(given, known, as_of_ms=NOW_MS + MATURITY_MS)) == 3
    with pytest.raises(NoFeatureRowsError):
        join_labels(given, known, as_of_ms=NOW_MS - 1)


def test_rows_after_the_time_given_are_left_out_even_if_young_rows_are_kept() -> None:
    table = join_labels(rows(5, 0, -1), labels(t_0=True), as_of_ms=NOW_MS, keep_immature=True)
    assert table["transaction_id"].tolist() == ["t-0", "t-1"]


def test_rows_come_out_in_order_of_event_time_and_ties_in_order_of_the_log() -> None:
    known = labels(t_0=True, t_1=False, t_2=False, t_3=False)
    table = join_labels(rows(0, 7, 7, 9), known, as_of_ms=NOW_MS, keep_immature=True)
    assert table["transaction_id"].tolist() == ["t-3", "t-1", "t-2", "t-0"]


@pytest.mark.parametrize("fraud", [True, False])
def test_one_class_only_is_refused_with_its_count(fraud: bool) -> None:
    with pytest.raises(OneClassError, match=f"{2 * fraud} of 2 rows are fraud"):
        join_labels(rows(1, 0), labels(t_0=fraud, t_1=fraud), as_of_ms=NOW_MS, keep_immature=True)


def test_nothing_mature_and_no_label_is_refused() -> None:
    with pytest.raises(NoFeatureRowsError, match="maturity_ms"):
        join_labels(rows(1, 0), labels(), as_of_ms=NOW_MS)


@pytest.mark.parametrize(("nulls", "is_refused"), [(9, False), (10, False), (11, True)])
def test_more_than_a_tenth_of_nulls_in_a_column_is_refused_by_name(
    nulls: int, *, is_refused: bool
) -> None:
    table = rows(*range(100))
    table["user_amount_mean_5m"] = [np.nan] * nulls + [1.0] * (100 - nulls)
    table["user_amount_sum_5m"] = 1.0
    if is_refused:
        with pytest.raises(NullShareError, match=r"rows: user_amount_mean_5m 11\.0%;"):
            check_null_share(table)
    else:
        check_null_share(table)


@pytest.mark.parametrize(("later_ms", "is_refused"), [(-1, False), (0, False), (1, True)])
def test_features_later_than_their_label_are_refused_with_their_count(
    later_ms: int, *, is_refused: bool
) -> None:
    table = rows(5, 0)
    known = labels(t_0=True, t_1=True)
    known["observed_time_ms"] = [NOW_MS, NOW_MS - later_ms]
    if is_refused:
        with pytest.raises(FutureFeaturesError, match=r"1 of 2 rows .* the first 't-1'"):
            check_label_times(table, known)
    else:
        check_label_times(table, known)
