"""A user's fold against the oracle, after every event."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definitions import CAPS, USER_FEATURES, Caps
from features.engine.state import StateBytesError, UserState, Values
from tests.unit.features.engine.oracle import USER_WINDOWS, Answer, D, H, M, Payment, UserOracle
from tests.unit.features.engine.streams_of_events import (
    AMOUNT_MAX,
    SMALL_CAPS,
    START,
    hot_steps,
    on_streams,
    payments,
)

USER_NAMES = [feature.name for feature in USER_FEATURES]


def fold(state: UserState, payment: Payment) -> Values:
    return state.fold(
        transaction_id=payment.transaction_id,
        merchant_id=payment.merchant_id,
        amount_minor=payment.amount_minor,
        event_time_ms=payment.event_time_ms,
    )


def peek(state: UserState, payment: Payment) -> Values:
    return state.peek(
        transaction_id=payment.transaction_id,
        merchant_id=payment.merchant_id,
        amount_minor=payment.amount_minor,
        event_time_ms=payment.event_time_ms,
    )


def assert_exact(values: Values, answer: Answer) -> None:
    """Equality for all but a late event's values, which all say that they are approximate."""
    assert values.repeat == answer.repeat
    assert list(values.features) == USER_NAMES
    if answer.is_late:
        assert values.approximate == tuple(USER_NAMES)
    else:
        assert values.approximate == ()
        assert values.features == answer.features


@on_streams
@given(payments())
def test_every_value_after_every_event_equals_the_oracle(stream: list[Payment]) -> None:
    state, oracle = UserState(), UserOracle()
    for payment in stream:
        assert_exact(fold(state, payment), oracle.fold(payment))
        assert state.newest_ms == oracle.newest
        assert state.sequence == len(oracle.counted)


@on_streams
@given(payments(), st.sampled_from([0, 1, 5 * M - 1, 5 * M, H, D, 30 * D - 1, 30 * D, 99 * D]))
def test_reading_as_of_the_newest_event_or_later_equals_the_oracle(
    stream: list[Payment], later: int
) -> None:
    state, oracle = UserState(), UserOracle()
    for payment in stream:
        fold(state, payment)
        oracle.fold(payment)
    assert oracle.newest is not None
    before = state.encode()
    as_of = oracle.newest + later
    for reader in (state, UserState.decode(state.encode_online())):
        values = reader.read(as_of_ms=as_of)
        assert values.features == oracle.features_as_of(as_of)
        assert values.approximate == ()
        assert values.sequence == state.sequence
    assert state.encode() == before


@on_streams
@given(payments(hot_steps, size=60))
def test_a_hot_key_is_exact_or_says_so_and_keeps_the_bound(stream: list[Payment]) -> None:
    state, oracle = UserState(caps=SMALL_CAPS), UserOracle()
    for payment in stream:
        values, answer = fold(state, payment), oracle.fold(payment)
        time = payment.event_time_ms
        if answer.repeat:
            time = oracle.remembered[payment.transaction_id][0]
        if answer.is_late:
            assert values.approximate == tuple(USER_NAMES)
        else:
            assert_bounded(values, answer, oracle, time)


def assert_bounded(values: Values, answer: Answer, oracle: UserOracle, time: int) -> None:
    for name in USER_NAMES:
        if name not in values.approximate:
            assert values.features[name] == answer.features[name], name
    for name, window in USER_WINDOWS.items():
        count, total = (
            values.features[f"user_{quantity}_{name}"]
            for quantity in ("transaction_count", "amount_sum")
        )
        assert isinstance(count, int)
        assert isinstance(total, int)
        cut = cut_by_an_edge(oracle, time, window)
        assert abs(count - answer.features[f"user_transaction_count_{name}"]) <= len(cut)  # type: ignore[operator]
        assert abs(total - answer.features[f"user_amount_sum_{name}"]) <= sum(cut)  # type: ignore[operator]
        assert values.features[f"user_amount_mean_{name}"] == (total / count if count else None)
    for name in ("user_merchant_distinct_5m", "user_merchant_distinct_1d"):
        # A repeat is read as of its first delivery, whose own visit may be forgotten by now.
        least = 0 if answer.repeat else 1
        assert least <= values.features[name] <= answer.features[name]  # type: ignore[operator]


def cut_by_an_edge(oracle: UserOracle, time: int, window: int) -> list[int]:
    """The amounts in the tiles, at most 1/64 of the window wide, that an edge may cut."""
    width, finest = window // 64, 5 * M // 64
    return [
        payment.amount_minor
        for payment in oracle.counted
        if payment.event_time_ms // width == (time - window + 1) // width
        or payment.event_time_ms // finest == (time + 1) // finest
    ]


@on_streams
@given(payments(), payments(hot_steps), st.sampled_from([CAPS, SMALL_CAPS]))
def test_a_state_restored_at_any_time_goes_on_byte_for_byte(
    first: list[Payment], second: list[Payment], caps: Caps
) -> None:
    state, restored = UserState(caps=caps), UserState(caps=caps)
    for payment in first + second:
        restored = UserState.decode(restored.encode(), caps=caps)
        assert fold(restored, payment) == fold(state, payment)
        assert restored.encode() == state.encode()


@on_streams
@given(payments(), payments(hot_steps), st.sampled_from([CAPS, SMALL_CAPS]))
def test_peek_is_what_fold_would_return_and_changes_nothing(
    first: list[Payment], second: list[Payment], caps: Caps
) -> None:
    state = UserState(caps=caps)
    for payment in first + second:
        before = state.encode()
        peeked = peek(state, payment)
        assert state.encode() == before
        assert peeked == fold(state, payment)


@on_streams
@given(payments(), st.integers(0, 40 * D), st.sampled_from([CAPS, SMALL_CAPS]))
def test_the_online_form_peeks_like_the_durable_one(
    stream: list[Payment], later: int, caps: Caps
) -> None:
    state = UserState(caps=caps)
    for payment in stream:
        fold(state, payment)
    assert state.newest_ms is not None
    new = Payment("never-seen", "m-0", 7, state.newest_ms + later)
    online = UserState.decode(state.encode_online(), caps=caps)
    assert peek(online, new) == peek(state, new)
    assert len(state.encode_online()) <= len(state.encode())


#   as of t:          t-5m           t-5m+1ms                t
#                      (----------------x--------------------x]
@pytest.mark.parametrize("window", USER_WINDOWS.values(), ids=USER_WINDOWS)
@pytest.mark.parametrize(("age", "is_counted"), [(-1, True), (0, False), (1, False)])
def test_event_exactly_one_window_old_is_not_counted(
    window: int, age: int, *, is_counted: bool
) -> None:
    state = UserState()
    fold(state, Payment("old", "m-old", 5, START))
    values = fold(state, Payment("new", "m-new", 7, START + window + age))
    name = next(name for name, ms in USER_WINDOWS.items() if ms == window)
    assert values.features[f"user_transaction_count_{name}"] == 1 + is_counted
    assert values.features[f"user_amount_sum_{name}"] == 7 + 5 * is_counted
    if name in ("5m", "1d"):
        assert values.features[f"user_merchant_distinct_{name}"] == 1 + is_counted


def test_of_equal_times_the_earlier_arrival_does_not_see_the_later() -> None:
    state = UserState()
    counts = [
        fold(state, Payment(f"tx-{n}", "m", 1, START)).features["user_transaction_count_1h"]
        for n in range(3)
    ]
    assert counts == [1, 2, 3]


def test_an_out_of_order_event_does_not_see_its_future() -> None:
    #     a(t)        late(t+30s)         b(t+60s)
    state = UserState()
    fold(state, Payment("a", "m-a", 100, START))
    fold(state, Payment("b", "m-b", 10, START + 60_000))
    values = fold(state, Payment("late", "m-l", 1, START + 30_000))
    assert values.features["user_amount_sum_5m"] == 101
    assert values.features["user_merchant_distinct_5m"] == 2
    assert values.approximate == ()
    values = fold(state, Payment("c", "m-a", 1_000, START + 60_000))
    assert values.features["user_amount_sum_5m"] == 1_111
    assert values.features["user_merchant_distinct_5m"] == 3


@pytest.mark.parametrize(("late_by", "is_exact"), [(D - 1, True), (D, True), (D + 1, False)])
def test_an_event_more_than_a_day_late_is_approximate_and_still_counts_later(
    late_by: int, *, is_exact: bool
) -> None:
    state = UserState()
    fold(state, Payment("new", "m", 10, START))
    values = fold(state, Payment("late", "m-late", 1, START - late_by))
    assert values.approximate == (() if is_exact else tuple(USER_NAMES))
    assert values.features["user_amount_sum_30d"] == 1
    values = fold(state, Payment("next", "m", 100, START))
    assert values.features["user_amount_sum_30d"] == 111
    assert values.features["user_amount_sum_1d"] == (111 if late_by < D else 110)
    assert values.approximate == ()


def test_an_event_older_than_everything_kept_still_counts_itself() -> None:
    state = UserState()
    fold(state, Payment("new", "m", 10, START))
    values = fold(state, Payment("ancient", "m", 3, START - 400 * D))
    assert values.features["user_transaction_count_5m"] == 1
    assert values.features["user_amount_mean_30d"] == 3.0
    assert values.features["user_merchant_distinct_1d"] == 1
    assert values.approximate == tuple(USER_NAMES)


@pytest.mark.parametrize(("passed", "is_repeat"), [(D - 1, True), (D, True), (D + 1, False)])
def test_an_id_is_forgotten_when_more_than_a_day_of_event_time_has_passed(
    passed: int, *, is_repeat: bool
) -> None:
    state = UserState()
    first = fold(state, Payment("tx", "m", 5, START))
    fold(state, Payment("other", "m", 7, START + passed))
    again = fold(state, Payment("tx", "elsewhere", 999, START + passed))
    assert again.repeat == is_repeat
    if is_repeat:
        assert again.features == first.features
        assert again.sequence == 2
    else:
        assert again.features["user_transaction_count_7d"] == 3


def test_a_repeat_changes_nothing_whatever_else_it_says() -> None:
    state = UserState()
    fold(state, Payment("tx", "m", 5, START))
    before = state.encode()
    values = fold(state, Payment("tx", "other", 9, START + 99 * D))
    assert values.repeat
    assert state.encode() == before


def test_an_id_that_came_late_is_remembered_for_a_day_from_its_arrival() -> None:
    state = UserState()
    fold(state, Payment("new", "m", 1, START))
    fold(state, Payment("late", "m", 1, START - 3 * D))
    fold(state, Payment("next", "m", 1, START + D))
    assert fold(state, Payment("late", "m", 1, START - 3 * D)).repeat
    fold(state, Payment("later", "m", 1, START + D + 1))
    assert not fold(state, Payment("late", "m", 1, START - 3 * D)).repeat


def test_past_the_cap_of_ids_the_oldest_is_forgotten() -> None:
    state = UserState(caps=Caps(ids_max=2))
    for n in range(3):
        fold(state, Payment(f"tx-{n}", "m", 1, START + n))
    assert [peek(state, Payment(f"tx-{n}", "m", 1, START)).repeat for n in range(3)] == [
        False,
        True,
        True,
    ]


def test_a_hot_keys_window_is_lengthened_to_the_start_of_the_tile_it_cuts() -> None:
    # Tiles of the 1 h window are 56,250 ms wide. Five events past the cap of 8 are in tiles.
    #
    #      tile 0                    tile 1          singles
    #   [0---x---x---)            [56_250--x)        x x x ...
    #          ^ the window's edge at 5_000 cuts tile 0: both its events count
    base = START // H * H  # On the grid of every window up to an hour.
    state = UserState(caps=SMALL_CAPS)
    for n, at in enumerate([1_000, 9_000, *range(60_000, 68_000, 1_000)]):
        fold(state, Payment(f"tx-{n}", "m", 10**n, base + at))
    values = fold(state, Payment("now", "m", 0, base + H + 5_000))
    assert values.features["user_transaction_count_1h"] == 11
    assert values.features["user_amount_sum_1h"] == 1_111_111_111
    assert values.approximate == tuple(
        name
        for name in USER_NAMES
        if name.endswith(("_1h", "_1d", "_7d", "_30d")) and "distinct" not in name
    )


def test_an_hour_after_a_hot_key_has_cooled_its_short_windows_are_exact_again() -> None:
    state = UserState(caps=SMALL_CAPS)
    for n in range(20):
        fold(state, Payment(f"tx-{n}", "m", 1, START + n))
    values = fold(state, Payment("later", "m", 1, START + H + 20))
    assert values.features["user_transaction_count_1h"] == 1
    assert not [name for name in values.approximate if name.endswith(("_5m", "_1h"))]
    assert "user_transaction_count_1d" in values.approximate
    assert values.features["user_transaction_count_1d"] == 21


def test_a_hundred_times_the_cap_keeps_the_state_small_and_the_count_right() -> None:
    state = UserState(caps=SMALL_CAPS)
    for n in range(800):
        values = fold(state, Payment(f"tx-{n}", f"m-{n % 2}", 1, START + n * 50))
    assert values.features["user_transaction_count_30d"] == 800
    assert values.features["user_merchant_distinct_1d"] == 2
    assert len(state.encode_online()) < 2_000


def test_more_merchants_than_the_cap_give_a_lower_bound_that_says_so() -> None:
    state = UserState(caps=SMALL_CAPS)
    for n in range(5):
        values = fold(state, Payment(f"tx-{n}", f"m-{n}", 1, START + n * M))
    assert values.features["user_merchant_distinct_1d"] == 3
    assert "user_merchant_distinct_1d" in values.approximate
    # Ten minutes later the short window knows all its merchants again.
    values = fold(state, Payment("next", "m-9", 1, START + 14 * M))
    assert values.features["user_merchant_distinct_5m"] == 1
    assert "user_merchant_distinct_5m" not in values.approximate


@pytest.mark.parametrize("amount", [AMOUNT_MAX, 2**62, 2**64])
def test_sums_are_exact_beyond_64_bits(amount: int) -> None:
    state = UserState()
    for n in range(9):
        values = fold(state, Payment(f"tx-{n}", "m", amount, START + n * M))
        state = UserState.decode(state.encode())
    assert values.features["user_amount_sum_1h"] == 9 * amount
    late = fold(state, Payment("late", "m", amount, START + 1))
    assert late.features["user_amount_sum_1h"] == 2 * amount


def test_a_user_never_seen_has_counts_of_zero_and_no_mean() -> None:
    values = UserState().read(as_of_ms=START)
    assert values.features["user_transaction_count_30d"] == 0
    assert values.features["user_amount_sum_30d"] == 0
    assert values.features["user_amount_mean_30d"] is None
    assert values.features["user_merchant_distinct_1d"] == 0
    assert values.approximate == ()
    assert UserState.decode(UserState().encode()).encode() == UserState().encode()


def test_an_online_state_reads_only() -> None:
    state = UserState()
    fold(state, Payment("tx", "m", 1, START))
    online = UserState.decode(state.encode_online())
    with pytest.raises(ValueError, match="online"):
        fold(online, Payment("tx-2", "m", 1, START))
    with pytest.raises(ValueError, match="online"):
        online.encode()
    assert online.read(as_of_ms=START - 1).approximate == tuple(USER_NAMES)
    assert online.encode_online() == state.encode_online()


def test_an_online_state_read_before_its_newest_event_gives_what_is_left() -> None:
    state = UserState()
    fold(state, Payment("a", "m-a", 3, START))
    fold(state, Payment("b", "m-b", 4, START + 10))
    values = UserState.decode(state.encode_online()).read(as_of_ms=START + 5)
    assert values.features["user_amount_sum_5m"] == 3
    assert values.features["user_merchant_distinct_5m"] == 1


@pytest.mark.parametrize("size", [0, 1, 20, 29, 40, -1])
def test_bytes_that_end_too_early_are_refused(size: int) -> None:
    state = UserState()
    fold(state, Payment("tx", "m", 1, START))
    with pytest.raises(StateBytesError):
        UserState.decode(state.encode()[:size])


@on_streams
@given(payments(hot_steps), st.integers(0), st.binary(min_size=1, max_size=4))
def test_damaged_bytes_are_read_or_refused_and_never_anything_else(
    stream: list[Payment], at: int, damage: bytes
) -> None:
    state = UserState(caps=SMALL_CAPS)
    for payment in stream:
        fold(state, payment)
    data = bytearray(state.encode())
    at %= len(data)
    data[at : at + len(damage)] = damage
    with suppress(StateBytesError):
        UserState.decode(bytes(data), caps=SMALL_CAPS)


def test_bytes_that_go_on_are_refused() -> None:
    with pytest.raises(StateBytesError, match="expected"):
        UserState.decode(UserState().encode() + b"\x00")
