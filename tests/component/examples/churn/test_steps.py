"""Churn's own part: its world, and the comparison of the batch with the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from examples.churn.steps import ChurnError, Online, ask_online, check_equal
from examples.churn.world import World
from features.definitions import DAY_MS

END_MS = 20_540 * DAY_MS
WORLD = World(shoppers=60, days=90, end_ms=END_MS, currency="EUR")
SCORES = {"a": (0.25, "STAYS"), "b": (0.75, "AT_RISK")}


def api(scores: Mapping[str, tuple[float, str]], *, single: float = 0.0) -> Any:
    """An API that knows some users; for one alone, it adds to the score."""

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        if path.endswith("/batch"):
            found = [scores.get(user_id) for user_id in body["user_ids"]]
            return 200, {
                "answers": [
                    {"detail": "no history"}
                    if one is None
                    else {"score": one[0], "decision": one[1]}
                    for one in found
                ]
            }
        if body["user_id"] not in scores:
            return 404, {"detail": "no history"}
        return 200, {"score": scores[body["user_id"]][0] + single}

    return post


def test_equal_worlds_have_equal_transactions_in_the_order_of_time() -> None:
    transactions = WORLD.transactions()
    assert transactions == WORLD.transactions()
    times_ms = [each.event_time_ms for each in transactions]
    assert times_ms == sorted(times_ms)
    assert WORLD.first_ms <= times_ms[0] <= times_ms[-1] < END_MS
    assert len({each.transaction_id for each in transactions}) == len(transactions)


def test_some_shoppers_leave_and_some_stay() -> None:
    newest = {each.user_id: each.event_time_ms for each in WORLD.transactions()}
    has_left = Counter(time_ms < END_MS - 30 * DAY_MS for time_ms in newest.values())
    assert min(has_left[True], has_left[False]) > len(newest) / 5


def test_equal_scores_are_counted_and_different_ones_named() -> None:
    online = ask_online(api(SCORES), ["a", "b"], singles=2)
    assert check_equal(SCORES, online) == 2
    assert len(online.latencies_ms) == 2
    with pytest.raises(ChurnError, match=r"user b: the batch gave 0\.75.* AT_RISK"):
        check_equal({**SCORES, "b": (0.7500000000000001, "AT_RISK")}, online)
    with pytest.raises(ChurnError, match=r"user a: the batch gave 0\.25 LEAVES"):
        check_equal({**SCORES, "a": (0.25, "LEAVES")}, online)


def test_answers_that_are_no_scores_are_named() -> None:
    with pytest.raises(ChurnError, match="user c has no score online: no history"):
        ask_online(api(SCORES), ["a", "c"], singles=0)
    with pytest.raises(ChurnError, match="user a has two scores"):
        ask_online(api(SCORES, single=2**-54), ["a"], singles=1)
    with pytest.raises(ChurnError, match="was answered by 500: a bug"):
        ask_online(lambda path, body: (500, {"detail": "a bug"}), ["a"], singles=0)


def test_the_95th_percentile_is_of_single_requests() -> None:
    online = Online({}, {}, [float(each) for each in range(1, 101)])
    assert 95 <= online.p95_ms <= 97
