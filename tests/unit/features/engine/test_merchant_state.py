"""A merchant's state, case by case: windows, labels, late events, tiles, limits."""

from __future__ import annotations

import pytest

from features.definitions import MERCHANT_FEATURES, Caps
from features.engine.state import MerchantState, StateBytesError, UserState
from tests.unit.features.engine.brute_force import DELAY, MERCHANT_WINDOWS, D, H, Report
from tests.unit.features.engine.folds import MerchantEvent, fold_event, fold_label
from tests.unit.features.engine.streams_of_events import SMALL_CAPS, START

MERCHANT_NAMES = [feature.name for feature in MERCHANT_FEATURES]


#    as of t:     t-7d-w       t-7d-w+1ms         t-7d        t-7d+1ms       t
#                   (-----------------x--------------x]--------------------- x
@pytest.mark.parametrize("window", MERCHANT_WINDOWS.values(), ids=MERCHANT_WINDOWS)
@pytest.mark.parametrize(
    ("edge", "age", "is_counted"),
    [
        ("old", -1, True),
        ("old", 0, False),
        ("old", 1, False),
        ("new", -1, False),
        ("new", 0, True),
        ("new", 1, True),
    ],
)
def test_the_window_ends_a_week_ago_and_holds_what_is_younger_than_its_length(
    window: int, edge: str, age: int, *, is_counted: bool
) -> None:
    state = MerchantState()
    fold_event(state, ("old", START))
    values = fold_event(state, ("now", START + DELAY + (window if edge == "old" else 0) + age))
    assert values is not None
    name = next(name for name, ms in MERCHANT_WINDOWS.items() if ms == window)
    assert values.features[f"merchant_transaction_count_{name}_delay_7d"] == is_counted


#    fraud(t)                     t+7d
#       |---- observed ----|        x
@pytest.mark.parametrize(
    ("observed", "is_visible"), [(7 * D - 1, True), (7 * D, True), (7 * D + 1, False)]
)
@pytest.mark.parametrize("label_comes_first", [True, False])
def test_a_label_counts_from_the_time_it_was_observed(
    observed: int, *, is_visible: bool, label_comes_first: bool
) -> None:
    state = MerchantState()
    report = Report("fraud", START, START + observed, True)
    events: list[MerchantEvent] = [("fraud", START), report]
    for event in reversed(events) if label_comes_first else events:
        fold_event(state, event)
    values = fold_event(state, ("now", START + 7 * D))
    assert values is not None
    assert values.features["merchant_fraud_rate_1d_delay_7d"] == float(is_visible)


def rate_after(reports: list[tuple[int, bool]]) -> object:
    state = MerchantState()
    fold_event(state, ("tx", START))
    for observed, is_fraud in reports:
        fold_event(state, Report("tx", START, START + observed, is_fraud))
    values = fold_event(state, ("now", START + 7 * D))
    assert values is not None
    return values.features["merchant_fraud_rate_1d_delay_7d"]


@pytest.mark.parametrize(
    ("reports", "rate"),
    [
        ([(1, True), (2, False)], 0.0),
        ([(2, False), (1, True)], 0.0),
        ([(1, False), (2, True)], 1.0),
        ([(1, True), (1, False)], 0.0),
        ([(1, False), (1, True)], 1.0),
    ],
)
def test_the_latest_observation_counts_and_of_equal_ones_the_later_arrival(
    reports: list[tuple[int, bool]], rate: float
) -> None:
    assert rate_after(reports) == rate


def test_a_label_delivered_again_changes_nothing() -> None:
    state = MerchantState()
    fold_event(state, ("tx", START))
    for report in (Report("tx", START, START, True), Report("tx", START, START, False)):
        fold_event(state, report)
    before = state.encode()
    fold_event(state, Report("tx", START, START, True))
    assert state.encode() == before
    assert state.sequence == 3


def test_a_withdrawn_report_still_counts_as_of_before_its_withdrawal() -> None:
    #   fraud(0)   reported(+1h)      late(+7d)     withdrawn(+7d+1h)   new(+7d+2h)
    state = MerchantState()
    fold_event(state, ("fraud", START))
    fold_event(state, Report("fraud", START, START + H, True))
    fold_event(state, Report("fraud", START, START + 7 * D + H, False))
    new = fold_event(state, ("new", START + 7 * D + 2 * H))
    late = fold_event(state, ("late", START + 7 * D))
    assert new is not None
    assert late is not None
    assert new.features["merchant_fraud_rate_1d_delay_7d"] == 0.0
    assert late.features["merchant_fraud_rate_1d_delay_7d"] == 1.0
    assert late.approximate == ()


@pytest.mark.parametrize("age", [-1, 0, 1])
@pytest.mark.parametrize("edge", [0, D])
def test_a_correction_for_a_late_event_counts_within_the_window_only(edge: int, age: int) -> None:
    #   t-8d (--------- inside -------] t-7d         late(t)   reported(t+1)   new(t+1h)
    state = MerchantState()
    fold_event(state, ("inside", START + H))
    fold_event(state, ("edge", START + edge + age))
    fold_event(state, ("new", START + 8 * D + H))
    fold_event(state, Report("edge", START + edge + age, START + 8 * D + 1, True))
    late = fold_event(state, ("late", START + 8 * D))
    assert late is not None
    assert late.approximate == ()
    assert late.features["merchant_fraud_rate_1d_delay_7d"] == 0.0
    assert late.features["merchant_fraud_rate_7d_delay_7d"] == 0.0


def test_a_repeat_is_not_counted_and_changes_nothing() -> None:
    state = MerchantState()
    fold_event(state, ("tx", START))
    before = state.encode()
    values = state.fold_transaction(
        transaction_id="tx", event_time_ms=START + 7 * D, is_repeat=True
    )
    assert values.repeat
    assert values.features["merchant_transaction_count_1d_delay_7d"] == 1
    assert state.encode() == before


def test_a_label_waits_sixty_days_for_its_transaction_and_then_no_more() -> None:
    for passed, is_known in ((60 * D - 1, True), (60 * D, True), (60 * D + 1, False)):
        state = MerchantState()
        # The label is mistaken about the time: the transaction's own counts.
        fold_event(state, Report("tx", START, START, True))
        fold_event(state, ("other", START + passed))
        fold_event(state, ("tx", START + passed))
        values = fold_event(state, ("now", START + passed + 7 * D))
        assert values is not None
        assert values.features["merchant_fraud_rate_1d_delay_7d"] == 0.5 * is_known


def test_a_label_that_waited_too_long_on_arrival_is_ignored() -> None:
    state = MerchantState()
    fold_event(state, ("other", START + 90 * D))
    before = state.encode()
    fold_event(state, Report("tx", START, START + 30 * D - 1, True))
    assert state.encode() == before


def test_labels_alone_make_a_state_that_reads_as_nothing() -> None:
    state = MerchantState()
    fold_event(state, Report("tx", START, START, True))
    assert state.newest_ms is None
    assert state.sequence == 1
    for reader in (
        state,
        MerchantState.decode(state.encode()),
        MerchantState.decode(state.encode_online()),
    ):
        values = reader.read(as_of_ms=0)
        assert set(values.features.values()) == {0}
        assert values.approximate == ()
    restored = MerchantState.decode(state.encode())
    assert restored.encode() == state.encode()
    fold_event(restored, ("tx", START))
    values = restored.read(as_of_ms=START + 7 * D)
    assert values.features["merchant_fraud_rate_7d_delay_7d"] == 1.0


def test_a_label_of_a_transaction_in_tiles_is_placed_by_its_own_event_time() -> None:
    state = MerchantState(caps=SMALL_CAPS)
    for n in range(12):
        fold_event(state, (f"tx-{n}", START + n * H))
    fold_event(state, Report("tx-0", START, START + 2 * D, True))
    # Of the late-comers two are past the cap; tx-0 is in tiles and its id forgotten.
    values = fold_event(state, ("now", START + 7 * D + 12 * H))
    assert values is not None
    assert values.features["merchant_transaction_count_7d_delay_7d"] == 12
    assert values.features["merchant_fraud_rate_7d_delay_7d"] == 1 / 12
    assert "merchant_fraud_rate_7d_delay_7d" in values.approximate


def test_a_believed_fraud_moves_to_its_transaction_when_that_comes() -> None:
    state = MerchantState(caps=SMALL_CAPS)
    for n in range(12):
        fold_event(state, (f"tx-{n}", START + n * H))
    # Not arrived, but its time is already in tiles: believed. Then it comes, at another time.
    fold_event(state, Report("late", START, START + D, True))
    fold_event(state, ("late", START + 11 * H))
    values = fold_event(state, ("now", START + 8 * D + 10 * H))
    assert values is not None
    assert values.features["merchant_transaction_count_1d_delay_7d"] == 2
    assert values.features["merchant_fraud_rate_1d_delay_7d"] == 0.5


def test_more_labelled_transactions_than_the_cap_make_rates_approximate() -> None:
    state = MerchantState(caps=Caps(labelled_max=4))
    for n in range(6):
        fold_event(state, (f"tx-{n}", START + n))
        fold_event(state, Report(f"tx-{n}", START + n, START + n, True))
    values = fold_event(state, ("now", START + 7 * D + 5))
    assert values is not None
    assert values.approximate == tuple(name for name in MERCHANT_NAMES if "fraud_rate" in name)
    assert values.features["merchant_fraud_rate_1d_delay_7d"] == 1.0
    # The forgotten ones leave the shortest window first.
    values = fold_event(state, ("later", START + 8 * D + 5))
    assert values is not None
    assert "merchant_fraud_rate_1d_delay_7d" not in values.approximate


def test_more_labels_of_one_transaction_than_the_cap_keep_the_latest() -> None:
    state = MerchantState(caps=Caps(observations_max=2))
    fold_event(state, ("tx", START))
    for n, is_fraud in enumerate([False, False, True]):
        fold_event(state, Report("tx", START, START + n, is_fraud))
    values = fold_event(state, ("now", START + 7 * D))
    assert values is not None
    assert values.features["merchant_fraud_rate_1d_delay_7d"] == 1.0
    assert "merchant_fraud_rate_1d_delay_7d" in values.approximate


def test_dead_labels_are_forgotten() -> None:
    state = MerchantState()
    for n in range(500):
        fold_event(state, (f"tx-{n}", START + n * D))
        fold_event(state, Report(f"tx-{n}", START + n * D, START + n * D, n % 2 == 0))
    assert len(state.encode()) < 2_000


def test_too_late_a_read_is_the_same_before_and_after_a_restore() -> None:
    # The state still has at hand when `old` was reported; a restored one has that no more.
    state = MerchantState()
    fold_event(state, ("old", START))
    fold_event(state, ("tx", START + 7 * D + H))
    fold_event(state, Report("old", START, START + 7 * D + 10, True))
    fold_event(state, ("new", START + 10 * D))
    too_late = START + 7 * D + 5
    values = state.read(as_of_ms=too_late)
    assert values == MerchantState.decode(state.encode()).read(as_of_ms=too_late)
    assert values.approximate == tuple(MERCHANT_NAMES)


def test_an_online_state_reads_only() -> None:
    state = MerchantState()
    fold_event(state, ("tx", START))
    online = MerchantState.decode(state.encode_online())
    for forbidden in (
        lambda: fold_event(online, ("tx-2", START)),
        lambda: fold_label(online, Report("tx", START, START, True)),
        online.encode,
    ):
        with pytest.raises(ValueError, match="online"):
            forbidden()
    assert online.read(as_of_ms=START - D - 1).approximate == tuple(MERCHANT_NAMES)
    assert online.encode_online() == state.encode_online()


def test_an_online_state_knows_which_labels_were_observed_on_its_last_day() -> None:
    state = MerchantState()
    for n in range(3):
        fold_event(state, (f"tx-{n}", START))
    fold_event(state, ("now", START + 7 * D + H))
    for n, observed in enumerate((START + D, START + 7 * D + 10, START + 7 * D + 20)):
        fold_event(state, Report(f"tx-{n}", START, observed, True))
    fold_event(state, Report("tx-2", START, START + 7 * D + 30, False))
    online = MerchantState.decode(state.encode_online())
    name = "merchant_fraud_rate_1d_delay_7d"
    rates = {}
    for at in (9, 10, 20, 30):
        values = online.read(as_of_ms=START + 7 * D + at)
        assert values == state.read(as_of_ms=START + 7 * D + at)
        assert values.approximate == ()
        rates[at] = values.features[name]
    assert rates == {9: 1 / 3, 10: 2 / 3, 20: 1.0, 30: 2 / 3}


def test_the_online_form_leaves_out_labels_that_change_nothing() -> None:
    state = MerchantState()
    fold_event(state, ("tx-0", START))
    fold_event(state, ("tx-1", START + H))
    before = len(state.encode_online())
    fold_event(state, Report("tx-0", START, START + H, False))
    assert len(state.encode_online()) == before


def test_bytes_of_a_user_are_refused() -> None:
    with pytest.raises(StateBytesError, match="kind"):
        MerchantState.decode(UserState().encode())
