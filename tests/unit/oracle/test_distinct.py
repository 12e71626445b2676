"""Distinct merchants of their own: windows in any order, caps, and what is written."""

from __future__ import annotations

from features.definitions import DAY_MS, Caps
from tests.oracle.distinct import DistinctMerchants
from tests.unit.features.engine.streams_of_events import START

MINUTE_MS = 60_000


def test_windows_may_come_in_any_order() -> None:
    merchants = DistinctMerchants((DAY_MS, MINUTE_MS))
    merchants.add(START, merchant_id="a")
    assert merchants.add(START + MINUTE_MS, merchant_id="b") == [2, 1]


def test_a_merchant_visited_again_counts_from_its_last_visit() -> None:
    #  a(0)      b(+30s)     a(+40s)          (+70s)
    merchants = DistinctMerchants((MINUTE_MS,))
    for at, merchant in ((0, "a"), (30_000, "b"), (40_000, "a")):
        merchants.add(START + at, merchant_id=merchant)
    newest = START + 40_000
    assert merchants.read(START + 90_000 - 1, newest_ms=newest)[0] == [2]
    assert merchants.read(START + 90_000, newest_ms=newest)[0] == [1]
    assert merchants.read(START + 100_000, newest_ms=newest)[0] == [0]


def test_a_late_visit_counts_until_it_leaves_the_window() -> None:
    merchants = DistinctMerchants((MINUTE_MS,))
    newest = START + 50_000
    merchants.add(newest, merchant_id="a")
    merchants.add_late(START, merchant_id="late", newest_ms=newest)
    assert merchants.read(newest, newest_ms=newest) == ([2], ())
    assert merchants.add(START + MINUTE_MS, merchant_id="a") == [1]


def test_a_late_visit_older_than_the_last_one_of_its_merchant_changes_nothing_now() -> None:
    merchants = DistinctMerchants((MINUTE_MS,))
    newest = START + 50_000
    merchants.add(newest, merchant_id="a")
    merchants.add_late(START, merchant_id="a", newest_ms=newest)
    assert merchants.add(newest + MINUTE_MS - 1, merchant_id="b") == [2]


def test_late_visits_take_their_place_in_order_of_time() -> None:
    #  a(0)   late(99)  b(100)
    merchants = DistinctMerchants((MINUTE_MS,))
    merchants.add(START, merchant_id="a")
    merchants.add(START + 100, merchant_id="b")
    merchants.add_late(START + 99, merchant_id="late", newest_ms=START + 100)
    assert merchants.read(START + MINUTE_MS + 98, newest_ms=START + 100)[0] == [2]
    assert merchants.read(START + MINUTE_MS + 99, newest_ms=START + 100)[0] == [1]
    assert merchants.add(START + MINUTE_MS + 99, merchant_id="c") == [2]


def test_the_log_is_kept_for_a_window_and_a_day_and_dropped_then() -> None:
    merchants = DistinctMerchants((MINUTE_MS,))
    for n in range(1_000):
        merchants.add(START + n * DAY_MS // 10, merchant_id=f"m-{n}")
    assert len(merchants._visit_merchants) <= 2 * 12


def test_past_the_cap_of_visits_a_late_count_is_a_lower_bound_that_says_so() -> None:
    merchants = DistinctMerchants((MINUTE_MS,), caps=Caps(visits_max=4))
    for n in range(6):
        merchants.add(START + n * 1_000, merchant_id=f"m-{n}")
    newest = START + 5_000
    counts, bounds = merchants.read(START + 4_000, newest_ms=newest)
    assert counts[0] < 5
    assert bounds == (0,)
    assert merchants.read(newest, newest_ms=newest) == ([6], ())
