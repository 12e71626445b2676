"""From what a window holds to a value."""

from __future__ import annotations

import pytest

from features.definitions import DAY_MS, HOUR_MS, Velocity
from tests.oracle.aggregates import READERS, Plan
from tests.oracle.windows import Span


@pytest.mark.parametrize(
    ("aggregate", "of_nothing", "of_three"),
    [("count", 0, 3), ("sum", 0, 10), ("mean", None, 10 / 3), ("rate", 0.0, 10 / 3)],
)
def test_an_aggregate_reads_nothing_and_something(
    aggregate: str, of_nothing: object, of_three: object
) -> None:
    read = READERS[aggregate]  # type: ignore[index]
    assert read(0, 0) == of_nothing
    assert read(3, 10) == of_three


def test_the_mean_of_a_large_sum_is_rounded_once() -> None:
    total = 3 * 10**18 + 1
    assert READERS["mean"](3, total) == total / 3


def test_a_plan_reads_each_feature_at_the_position_of_its_window() -> None:
    hour, day = Span(HOUR_MS, 0), Span(DAY_MS, 0)
    features = [
        Velocity("user", "transaction", "count", DAY_MS),
        Velocity("user", "amount", "sum", HOUR_MS),
        Velocity("user", "merchant", "distinct", DAY_MS),
    ]
    plan = Plan(
        [
            (frozenset(("count", "sum")), hour),
            (frozenset(("count", "sum")), day),
            (frozenset(("distinct",)), day),
        ],
        features,
    )
    assert plan.values([1, 2, 7], [10, 20, 0]) == {
        "user_transaction_count_1d": 2,
        "user_amount_sum_1h": 10,
        "user_merchant_distinct_1d": 7,
    }
    assert plan.names_at((2, 0)) == ("user_amount_sum_1h", "user_merchant_distinct_1d")
    assert plan.names_at(()) == ()


def test_a_feature_without_a_window_in_the_plan_is_refused() -> None:
    feature = Velocity("user", "amount", "sum", HOUR_MS)
    with pytest.raises(ValueError, match="user_amount_sum_1h"):
        Plan([(frozenset(("count",)), Span(HOUR_MS, 0))], [feature])
