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

NEWEST_MS = 1_800_000_000_000


def rows(*ages_ms: int) -> pd.DataFrame:
    """Make rows t-0, t-1, ... of these ages; the newest time in the log is NEWEST_MS."""
    return pd.DataFrame(
        {
            "transaction_id": [f"t-{at}" for at in range(len(ages_ms))],
            "event_time_ms": [NEWEST_MS - age_ms for age_ms in ages_ms],
        }
    )


def labels(**fraud: bool) -> pd.DataFrame:
    """Make labels that were observed at the newest time: ``t_0=True`` is the label of t-0."""
    return pd.DataFrame(
        {
            "transaction_id": [name.replace("_", "-") for name in fraud],
            "observed_time_ms": [NEWEST_MS] * len(fraud),
            "is_fraud": list(fraud.values()),
        }
    )


# age:    MATURITY + 1   MATURITY    MATURITY   MATURITY - 1       0
#              t-0          t-1         t-2          t-3          t-4
#         legitimate   legitimate   its label     left out     left out
def test_no_label_means_legitimate_from_the_maturity_on() -> None:
    ages = (MATURITY_MS + 1, MATURITY_MS, MATURITY_MS, MATURITY_MS - 1, 0)
    table = join_labels(rows(*ages), labels(t_2=True))
    assert dict(zip(table["transaction_id"], table["is_fraud"], strict=True)) == {
        "t-0": False,
        "t-1": False,
        "t-2": True,
    }


# If only the reported young rows were kept, every young row would be a fraud.
def test_a_young_row_is_left_out_whatever_is_known_of_it() -> None:
    ages = (MATURITY_MS, MATURITY_MS, MATURITY_MS - 1, MATURITY_MS - 1, 0)
    table = join_labels(rows(*ages), labels(t_0=True, t_2=True, t_3=False, t_4=True))
    assert table["transaction_id"].tolist() == ["t-0", "t-1"]


def test_young_rows_may_be_kept_as_legitimate_for_a_demo() -> None:
    table = join_labels(rows(10, 5, 0), labels(t_1=True), keep_immature=True)
    assert table["is_fraud"].tolist() == [False, True, False]


def test_a_label_that_says_legitimate_is_a_label() -> None:
    table = join_labels(rows(MATURITY_MS + 1, MATURITY_MS), labels(t_0=False, t_1=True))
    assert table["is_fraud"].tolist() == [False, True]


def test_an_observation_may_be_the_newest_time() -> None:
    late = labels(t_0=True)
    late["observed_time_ms"] = NEWEST_MS + MATURITY_MS
    assert len(join_labels(rows(1, 0), late)) == 2
    assert len(join_labels(rows(1, 0), late, as_of_ms=NEWEST_MS + MATURITY_MS)) == 2
    with pytest.raises(NoFeatureRowsError):
        join_labels(rows(1, 0), late, as_of_ms=NEWEST_MS + MATURITY_MS - 2)


def test_rows_come_out_in_order_of_event_time_and_ties_in_order_of_the_log() -> None:
    known = labels(t_0=True, t_1=False, t_2=False, t_3=False)
    table = join_labels(rows(0, 7, 7, 9), known, keep_immature=True)
    assert table["transaction_id"].tolist() == ["t-3", "t-1", "t-2", "t-0"]


@pytest.mark.parametrize("fraud", [True, False])
def test_one_class_only_is_refused_with_its_count(fraud: bool) -> None:
    with pytest.raises(OneClassError, match=f"{2 * fraud} of 2 rows are fraud"):
        join_labels(rows(1, 0), labels(t_0=fraud, t_1=fraud), keep_immature=True)


def test_nothing_mature_and_no_label_is_refused() -> None:
    with pytest.raises(NoFeatureRowsError, match="maturity_ms"):
        join_labels(rows(1, 0), labels())


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
    known["observed_time_ms"] = [NEWEST_MS, NEWEST_MS - later_ms]
    if is_refused:
        with pytest.raises(FutureFeaturesError, match=r"1 of 2 rows .* the first 't-1'"):
            check_label_times(table, known)
    else:
        check_label_times(table, known)
