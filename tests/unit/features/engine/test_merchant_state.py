"""A merchant's folds against the oracle, after every event, with labels in any order."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definitions import CAPS, MERCHANT_FEATURES, Caps
from features.engine.state import MerchantState, StateBytesError, UserState, Values
from schemas.label import Label
from tests.unit.features.engine.oracle import (
    DELAY,
    MERCHANT_WINDOWS,
    Answer,
    D,
    H,
    MerchantOracle,
    Report,
)
from tests.unit.features.engine.streams_of_events import (
    SMALL_CAPS,
    START,
    hot_steps,
    merchant_events,
    on_streams,
)

MERCHANT_NAMES = [feature.name for feature in MERCHANT_FEATURES]

Event = tuple[str, int] | Report


def fold_label(state: MerchantState, report: Report) -> None:
    state.fold_label(
        Label(
            transaction_id=report.transaction_id,
            merchant_id=report.merchant_id,
            event_time_ms=report.event_time_ms,
            observed_time_ms=report.observed_time_ms,
            is_fraud=report.is_fraud,
        )
    )


def fold(state: MerchantState, event: Event) -> Values | None:
    if isinstance(event, Report):
        return fold_label(state, event)
    transaction_id, time = event
    return state.fold_transaction(
        transaction_id=transaction_id, event_time_ms=time, is_repeat=False
    )


def fold_oracle(oracle: MerchantOracle, event: Event) -> Answer | None:
    if isinstance(event, Report):
        return oracle.fold_label(event)
    return oracle.fold(*event)


@on_streams
@given(merchant_events())
def test_every_value_after_every_event_equals_the_oracle(stream: list[Event]) -> None:
    state, oracle = MerchantState(), MerchantOracle()
    for event in stream:
        sequence = state.sequence
        values, answer = fold(state, event), fold_oracle(oracle, event)
        assert state.newest_ms == oracle.newest
        assert state.sequence - sequence in ([0, 1] if isinstance(event, Report) else [1])
        if values is None or answer is None:
            continue
        assert list(values.features) == MERCHANT_NAMES
        if answer.is_late:
            assert values.approximate == tuple(MERCHANT_NAMES)
        else:
            assert values.approximate == ()
            assert values.features == answer.features


@on_streams
@given(merchant_events(), st.sampled_from([0, 1, D, 7 * D - 1, 7 * D, 8 * D, 30 * D, 99 * D]))
def test_reading_as_of_the_newest_event_or_later_equals_the_oracle(
    stream: list[Event], later: int
) -> None:
    state, oracle = MerchantState(), MerchantOracle()
    for event in stream:
        fold(state, event)
        fold_oracle(oracle, event)
    before = state.encode()
    as_of = (oracle.newest or START) + later
    for reader in (state, MerchantState.decode(state.encode_online())):
        values = reader.read(as_of_ms=as_of)
        assert values.features == oracle.features_as_of(as_of)
        assert values.approximate == ()
        assert values.sequence == state.sequence
    assert state.encode() == before
    assert len(state.encode_online()) <= len(before)


@on_streams
@given(merchant_events(hot_steps, size=60, labels_come_early=False))
def test_a_hot_key_is_exact_or_says_so_and_keeps_the_bound(stream: list[Event]) -> None:
    state, oracle = MerchantState(caps=SMALL_CAPS), MerchantOracle()
    for event in stream:
        values, answer = fold(state, event), fold_oracle(oracle, event)
        if values is None or answer is None or isinstance(event, Report):
            continue
        if answer.is_late:
            assert values.approximate == tuple(MERCHANT_NAMES)
            continue
        for name in MERCHANT_NAMES:
            if name not in values.approximate:
                assert values.features[name] == answer.features[name], name
        assert_bounded(values, answer, oracle, event[1])


def assert_bounded(values: Values, answer: Answer, oracle: MerchantOracle, time: int) -> None:
    for name, window in MERCHANT_WINDOWS.items():
        count_name = f"merchant_transaction_count_{name}_delay_7d"
        rate_name = f"merchant_fraud_rate_{name}_delay_7d"
        count, rate = values.features[count_name], values.features[rate_name]
        exact_count, exact_rate = answer.features[count_name], answer.features[rate_name]
        assert isinstance(count, int)
        assert isinstance(rate, float)
        assert isinstance(exact_count, int)
        assert isinstance(exact_rate, float)
        cut = cut_by_an_edge(oracle, time, window)
        assert abs(count - exact_count) <= len(cut)
        frauds, exact_frauds = round(rate * count), round(exact_rate * exact_count)
        cut_frauds = sum(oracle.is_fraud(transaction_id, time) for transaction_id in cut)
        assert abs(frauds - exact_frauds) <= cut_frauds
        assert 0 <= rate <= 1


def cut_by_an_edge(oracle: MerchantOracle, time: int, window: int) -> list[str]:
    """The transactions in the tiles, at most 1/64 of a window wide, that an edge may cut."""
    width, finest = window // 64, D // 64
    until = time - DELAY
    return [
        transaction_id
        for transaction_id, t in oracle.counted
        if t // width == (until - window + 1) // width or t // finest == (until + 1) // finest
    ]


@on_streams
@given(st.lists(hot_steps | st.sampled_from([D, 7 * D]), min_size=8, max_size=60))
def test_the_rate_of_a_hot_key_is_taken_between_the_same_edges(steps: list[int]) -> None:
    state, newest = MerchantState(caps=SMALL_CAPS), START
    for n, step in enumerate(steps):
        time = newest + step
        newest = max(newest, time)
        values = fold(state, (f"tx-{n}", time))
        fold(state, Report(f"tx-{n}", time, time, True))
        assert values is not None
        for name in MERCHANT_WINDOWS:
            count = values.features[f"merchant_transaction_count_{name}_delay_7d"]
            rate = values.features[f"merchant_fraud_rate_{name}_delay_7d"]
            assert rate == float(bool(count))


@on_streams
@given(merchant_events(), merchant_events(hot_steps), st.sampled_from([CAPS, SMALL_CAPS]))
def test_a_state_restored_at_any_time_goes_on_byte_for_byte(
    first: list[Event], second: list[Event], caps: Caps
) -> None:
    state, restored = MerchantState(caps=caps), MerchantState(caps=caps)
    for event in first + second:
        restored = MerchantState.decode(restored.encode(), caps=caps)
        assert fold(restored, event) == fold(state, event)
        assert restored.encode() == state.encode()


@on_streams
@given(merchant_events(), st.integers(0, 60 * D))
def test_the_online_form_reads_like_the_durable_one(stream: list[Event], later: int) -> None:
    caps = SMALL_CAPS
    state = MerchantState(caps=caps)
    for event in stream:
        fold(state, event)
    as_of = (state.newest_ms or START) + later
    online = MerchantState.decode(state.encode_online(), caps=caps)
    assert online.read(as_of_ms=as_of) == state.read(as_of_ms=as_of)


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
    fold(state, ("old", START))
    values = fold(state, ("now", START + DELAY + (window if edge == "old" else 0) + age))
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
    events: list[Event] = [("fraud", START), report]
    for event in reversed(events) if label_comes_first else events:
        fold(state, event)
    values = fold(state, ("now", START + 7 * D))
    assert values is not None
    assert values.features["merchant_fraud_rate_1d_delay_7d"] == float(is_visible)


def rate_after(reports: list[tuple[int, bool]]) -> object:
    state = MerchantState()
    fold(state, ("tx", START))
    for observed, is_fraud in reports:
        fold(state, Report("tx", START, START + observed, is_fraud))
    values = fold(state, ("now", START + 7 * D))
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
    fold(state, ("tx", START))
    for report in (Report("tx", START, START, True), Report("tx", START, START, False)):
        fold(state, report)
    before = state.encode()
    fold(state, Report("tx", START, START, True))
    assert state.encode() == before
    assert state.sequence == 3


def test_a_withdrawn_report_still_counts_as_of_before_its_withdrawal() -> None:
    #   fraud(0)   reported(+1h)      late(+7d)     withdrawn(+7d+1h)   new(+7d+2h)
    state = MerchantState()
    fold(state, ("fraud", START))
    fold(state, Report("fraud", START, START + H, True))
    fold(state, Report("fraud", START, START + 7 * D + H, False))
    new = fold(state, ("new", START + 7 * D + 2 * H))
    late = fold(state, ("late", START + 7 * D))
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
    fold(state, ("inside", START + H))
    fold(state, ("edge", START + edge + age))
    fold(state, ("new", START + 8 * D + H))
    fold(state, Report("edge", START + edge + age, START + 8 * D + 1, True))
    late = fold(state, ("late", START + 8 * D))
    assert late is not None
    assert late.approximate == ()
    assert late.features["merchant_fraud_rate_1d_delay_7d"] == 0.0
    assert late.features["merchant_fraud_rate_7d_delay_7d"] == 0.0


def test_a_repeat_is_not_counted_and_changes_nothing() -> None:
    state = MerchantState()
    fold(state, ("tx", START))
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
        fold(state, Report("tx", START, START, True))
        fold(state, ("other", START + passed))
        fold(state, ("tx", START + passed))
        values = fold(state, ("now", START + passed + 7 * D))
        assert values is not None
        assert values.features["merchant_fraud_rate_1d_delay_7d"] == 0.5 * is_known


def test_a_label_that_waited_too_long_on_arrival_is_ignored() -> None:
    state = MerchantState()
    fold(state, ("other", START + 90 * D))
    before = state.encode()
    fold(state, Report("tx", START, START + 30 * D - 1, True))
    assert state.encode() == before


def test_labels_alone_make_a_state_that_reads_as_nothing() -> None:
    state = MerchantState()
    fold(state, Report("tx", START, START, True))
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
    fold(restored, ("tx", START))
    values = restored.read(as_of_ms=START + 7 * D)
    assert values.features["merchant_fraud_rate_7d_delay_7d"] == 1.0


def test_a_label_of_a_transaction_in_tiles_is_placed_by_its_own_event_time() -> None:
    state = MerchantState(caps=SMALL_CAPS)
    for n in range(12):
        fold(state, (f"tx-{n}", START + n * H))
    fold(state, Report("tx-0", START, START + 2 * D, True))
    # Of the late-comers two are past the cap; tx-0 is in tiles and its id forgotten.
    values = fold(state, ("now", START + 7 * D + 12 * H))
    assert values is not None
    assert values.features["merchant_transaction_count_7d_delay_7d"] == 12
    assert values.features["merchant_fraud_rate_7d_delay_7d"] == 1 / 12
    assert "merchant_fraud_rate_7d_delay_7d" in values.approximate


def test_a_believed_fraud_moves_to_its_transaction_when_that_comes() -> None:
    state = MerchantState(caps=SMALL_CAPS)
    for n in range(12):
        fold(state, (f"tx-{n}", START + n * H))
    # Not arrived, but its time is already in tiles: believed. Then it comes, at another time.
    fold(state, Report("late", START, START + D, True))
    fold(state, ("late", START + 11 * H))
    values = fold(state, ("now", START + 8 * D + 10 * H))
    assert values is not None
    assert values.features["merchant_transaction_count_1d_delay_7d"] == 2
    assert values.features["merchant_fraud_rate_1d_delay_7d"] == 0.5


def test_more_labelled_transactions_than_the_cap_make_rates_approximate() -> None:
    state = MerchantState(caps=Caps(labelled_max=4))
    for n in range(6):
        fold(state, (f"tx-{n}", START + n))
        fold(state, Report(f"tx-{n}", START + n, START + n, True))
    values = fold(state, ("now", START + 7 * D + 5))
    assert values is not None
    assert values.approximate == tuple(name for name in MERCHANT_NAMES if "fraud_rate" in name)
    assert values.features["merchant_fraud_rate_1d_delay_7d"] == 1.0
    # The forgotten ones leave the shortest window first.
    values = fold(state, ("later", START + 8 * D + 5))
    assert values is not None
    assert "merchant_fraud_rate_1d_delay_7d" not in values.approximate


def test_more_labels_of_one_transaction_than_the_cap_keep_the_latest() -> None:
    state = MerchantState(caps=Caps(observations_max=2))
    fold(state, ("tx", START))
    for n, is_fraud in enumerate([False, False, True]):
        fold(state, Report("tx", START, START + n, is_fraud))
    values = fold(state, ("now", START + 7 * D))
    assert values is not None
    assert values.features["merchant_fraud_rate_1d_delay_7d"] == 1.0
    assert "merchant_fraud_rate_1d_delay_7d" in values.approximate


def test_dead_labels_are_forgotten() -> None:
    state = MerchantState()
    for n in range(500):
        fold(state, (f"tx-{n}", START + n * D))
        fold(state, Report(f"tx-{n}", START + n * D, START + n * D, n % 2 == 0))
    assert len(state.encode()) < 2_000
    assert len(state._labels._entries) < 200
    assert len(state._times_ms_of_ids) < 200


def test_too_late_a_read_is_the_same_before_and_after_a_restore() -> None:
    # The state still has at hand when `old` was reported; a restored one has that no more.
    state = MerchantState()
    fold(state, ("old", START))
    fold(state, ("tx", START + 7 * D + H))
    fold(state, Report("old", START, START + 7 * D + 10, True))
    fold(state, ("new", START + 10 * D))
    too_late = START + 7 * D + 5
    values = state.read(as_of_ms=too_late)
    assert values == MerchantState.decode(state.encode()).read(as_of_ms=too_late)
    assert values.approximate == tuple(MERCHANT_NAMES)


def test_an_online_state_reads_only() -> None:
    state = MerchantState()
    fold(state, ("tx", START))
    online = MerchantState.decode(state.encode_online())
    for forbidden in (
        lambda: fold(online, ("tx-2", START)),
        lambda: fold_label(online, Report("tx", START, START, True)),
        online.encode,
    ):
        with pytest.raises(ValueError, match="online"):
            forbidden()
    assert online.read(as_of_ms=START - 1).approximate == tuple(MERCHANT_NAMES)
    assert online.encode_online() == state.encode_online()


@on_streams
@given(merchant_events(hot_steps), st.integers(0), st.binary(min_size=1, max_size=4))
def test_damaged_bytes_are_read_or_refused_and_never_anything_else(
    stream: list[Event], at: int, damage: bytes
) -> None:
    state = MerchantState(caps=SMALL_CAPS)
    for event in stream:
        fold(state, event)
    data = bytearray(state.encode())
    at %= len(data)
    data[at : at + len(damage)] = damage
    with suppress(StateBytesError):
        MerchantState.decode(bytes(data), caps=SMALL_CAPS)


def test_bytes_of_a_user_are_refused() -> None:
    with pytest.raises(StateBytesError, match="kind"):
        MerchantState.decode(UserState().encode())
