import pandas as pd
import pytest

from operations.handbook_comparison import HANDBOOK_FEATURES, Comparison, compare, tied


def ours(**changes: list[object]) -> pd.DataFrame:
    columns = {feature.ours: [1.0, 1.0, 1.0] for feature in HANDBOOK_FEATURES}
    columns |= {"user_amount_mean_1d": [5_716.0, 5_716.0, 5_716.0]}
    keys = {
        "transaction_id": ["0", "1", "2"],
        "user_id": ["u", "u", "v"],
        "event_time_ms": [1_000, 2_000, 2_000],
    }
    return pd.DataFrame({**keys, **columns, **changes})


def theirs(**changes: list[object]) -> pd.DataFrame:
    columns = {feature.theirs: [1.0 / feature.scale] * 3 for feature in HANDBOOK_FEATURES}
    columns |= {"CUSTOMER_ID_AVG_AMOUNT_1DAY_WINDOW": [57.16, 57.16, 57.16]}
    return pd.DataFrame({"TRANSACTION_ID": [2, 1, 0], **columns, **changes})


def of(comparison: Comparison, name: str) -> tuple[int, int]:
    found = next(feature for feature in comparison.features if feature.name == name)
    return found.different, found.swapped


def test_equal_tables_have_no_difference_in_any_of_the_fourteen_features() -> None:
    comparison = compare(ours(), theirs())
    assert (comparison.rows, comparison.different) == (3, 0)
    assert comparison.values == 3 * 14


def test_a_count_must_be_equal_and_its_row_is_named() -> None:
    comparison = compare(ours(user_transaction_count_7d=[1, 2, 1]), theirs())
    assert of(comparison, "user_transaction_count_7d") == (1, 0)
    assert comparison.different == 1
    found = next(f for f in comparison.features if f.name == "user_transaction_count_7d")
    assert found.examples == (("1", 2.0, 1.0),)


@pytest.mark.parametrize(
    ("relative_error", "different"), [(0.9e-9, 0), (2e-9, 1)]
)  # fmt: skip
def test_a_mean_may_differ_by_a_billionth(relative_error: float, different: int) -> None:
    means = [5_716.0, 5_716.0 * (1 + relative_error), 5_716.0]
    comparison = compare(ours(user_amount_mean_1d=means), theirs())
    assert of(comparison, "user_amount_mean_1d") == (different, 0)


def test_a_mean_of_nothing_may_be_nothing_in_floating_point() -> None:
    nothing = {"CUSTOMER_ID_AVG_AMOUNT_1DAY_WINDOW": [57.16, -3.6e-13, 57.16]}
    means = [5_716.0, 0.0, 5_716.0]
    comparison = compare(ours(user_amount_mean_1d=means), theirs(**nothing))
    assert of(comparison, "user_amount_mean_1d") == (0, 0)


def test_a_rate_may_not_differ_at_all() -> None:
    rates = [1.0, 1.0 + 1e-12, 1.0]
    comparison = compare(ours(merchant_fraud_rate_1d_delay_7d=rates), theirs())
    assert of(comparison, "merchant_fraud_rate_1d_delay_7d") == (1, 0)


def test_no_value_on_one_side_is_a_difference() -> None:
    comparison = compare(ours(user_amount_mean_1d=[None, 5_716.0, 5_716.0]), theirs())
    assert of(comparison, "user_amount_mean_1d") == (1, 0)


def test_two_of_one_user_at_one_time_are_found_tied_and_others_are_not() -> None:
    rows = pd.DataFrame({"user_id": ["u", "u", "v", "u"], "event_time_ms": [1, 1, 1, 2]})
    assert tied(rows).tolist() == [True, True, False, False]


def test_tied_rows_may_be_swapped_in_user_features_only() -> None:
    swapped = {
        "event_time_ms": [2_000, 2_000, 2_000],
        "user_transaction_count_1d": [1, 2, 1],
        "merchant_transaction_count_1d_delay_7d": [1, 2, 1],
    }
    comparison = compare(ours(**swapped), theirs())
    assert comparison.tied_rows == 2
    assert of(comparison, "user_transaction_count_1d") == (0, 1)
    assert of(comparison, "merchant_transaction_count_1d_delay_7d") == (1, 0)


def test_the_first_of_repeated_rows_counts_and_rows_of_one_side_are_counted() -> None:
    repeated = pd.concat([ours(), ours(user_transaction_count_1d=[9, 9, 9])])
    extra = theirs()
    extra.loc[len(extra)] = extra.loc[0]
    extra.loc[3, "TRANSACTION_ID"] = 77
    comparison = compare(repeated, extra.astype({"TRANSACTION_ID": int}))
    assert comparison.different == 0
    assert (comparison.only_ours, comparison.only_theirs) == (0, 1)
