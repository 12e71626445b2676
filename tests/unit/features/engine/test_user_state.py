"""A user's state, case by case: windows, late events, repeats, hot keys, limits."""

from __future__ import annotations

import pytest

from features.definitions import USER_FEATURES, Caps
from features.engine.state import StateBytesError, UserState
from tests.oracle.state_bytes import Form, Header, pack_header, pack_ints, pack_texts
from tests.unit.features.engine.brute_force import USER_WINDOWS, D, H, M, Payment
from tests.unit.features.engine.folds import fold_payment, peek_payment
from tests.unit.features.engine.streams_of_events import AMOUNT_MAX, SMALL_CAPS, START

USER_NAMES = [feature.name for feature in USER_FEATURES]


#   as of t:          t-5m           t-5m+1ms                t
#                      (----------------x--------------------x]
@pytest.mark.parametrize("window", USER_WINDOWS.values(), ids=USER_WINDOWS)
@pytest.mark.parametrize(("age", "is_counted"), [(-1, True), (0, False), (1, False)])
def test_event_exactly_one_window_old_is_not_counted(
    window: int, age: int, *, is_counted: bool
) -> None:
    state = UserState()
    fold_payment(state, Payment("old", "m-old", 5, START))
    values = fold_payment(state, Payment("new", "m-new", 7, START + window + age))
    name = next(name for name, ms in USER_WINDOWS.items() if ms == window)
    assert values.features[f"user_transaction_count_{name}"] == 1 + is_counted
    assert values.features[f"user_amount_sum_{name}"] == 7 + 5 * is_counted
    if name in ("5m", "1d"):
        assert values.features[f"user_merchant_distinct_{name}"] == 1 + is_counted


def test_of_equal_times_the_earlier_arrival_does_not_see_the_later() -> None:
    state = UserState()
    counts = [
        fold_payment(state, Payment(f"tx-{n}", "m", 1, START)).features["user_transaction_count_1h"]
        for n in range(3)
    ]
    assert counts == [1, 2, 3]


def test_an_out_of_order_event_does_not_see_its_future() -> None:
    #     a(t)        late(t+30s)         b(t+60s)
    state = UserState()
    fold_payment(state, Payment("a", "m-a", 100, START))
    fold_payment(state, Payment("b", "m-b", 10, START + 60_000))
    values = fold_payment(state, Payment("late", "m-l", 1, START + 30_000))
    assert values.features["user_amount_sum_5m"] == 101
    assert values.features["user_merchant_distinct_5m"] == 2
    assert values.approximate == ()
    values = fold_payment(state, Payment("c", "m-a", 1_000, START + 60_000))
    assert values.features["user_amount_sum_5m"] == 1_111
    assert values.features["user_merchant_distinct_5m"] == 3


@pytest.mark.parametrize(("late_by", "is_exact"), [(D - 1, True), (D, True), (D + 1, False)])
def test_an_event_more_than_a_day_late_is_approximate_and_still_counts_later(
    late_by: int, *, is_exact: bool
) -> None:
    state = UserState()
    fold_payment(state, Payment("new", "m", 10, START))
    values = fold_payment(state, Payment("late", "m-late", 1, START - late_by))
    assert values.approximate == (() if is_exact else tuple(USER_NAMES))
    assert values.features["user_amount_sum_30d"] == 1
    values = fold_payment(state, Payment("next", "m", 100, START))
    assert values.features["user_amount_sum_30d"] == 111
    assert values.features["user_amount_sum_1d"] == (111 if late_by < D else 110)
    assert values.approximate == ()


def test_an_event_older_than_everything_kept_still_counts_itself() -> None:
    state = UserState()
    fold_payment(state, Payment("new", "m", 10, START))
    values = fold_payment(state, Payment("ancient", "m", 3, START - 400 * D))
    assert values.features["user_transaction_count_5m"] == 1
    assert values.features["user_amount_mean_30d"] == 3.0
    assert values.features["user_merchant_distinct_1d"] == 1
    assert values.approximate == tuple(USER_NAMES)


@pytest.mark.parametrize(("passed", "is_repeat"), [(D - 1, True), (D, True), (D + 1, False)])
def test_an_id_is_forgotten_when_more_than_a_day_of_event_time_has_passed(
    passed: int, *, is_repeat: bool
) -> None:
    state = UserState()
    first = fold_payment(state, Payment("tx", "m", 5, START))
    fold_payment(state, Payment("other", "m", 7, START + passed))
    again = fold_payment(state, Payment("tx", "elsewhere", 999, START + passed))
    assert again.repeat == is_repeat
    if is_repeat:
        assert again.features == first.features
        assert again.sequence == 2
    else:
        assert again.features["user_transaction_count_7d"] == 3


def test_a_repeat_changes_nothing_whatever_else_it_says() -> None:
    state = UserState()
    fold_payment(state, Payment("tx", "m", 5, START))
    before = state.encode()
    values = fold_payment(state, Payment("tx", "other", 9, START + 99 * D))
    assert values.repeat
    assert state.encode() == before


def test_an_id_that_came_late_is_remembered_for_a_day_from_its_arrival() -> None:
    state = UserState()
    fold_payment(state, Payment("new", "m", 1, START))
    fold_payment(state, Payment("late", "m", 1, START - 3 * D))
    fold_payment(state, Payment("next", "m", 1, START + D))
    assert fold_payment(state, Payment("late", "m", 1, START - 3 * D)).repeat
    fold_payment(state, Payment("later", "m", 1, START + D + 1))
    assert not fold_payment(state, Payment("late", "m", 1, START - 3 * D)).repeat


def test_past_the_cap_of_ids_the_oldest_is_forgotten() -> None:
    state = UserState(caps=Caps(ids_max=2))
    for n in range(3):
        fold_payment(state, Payment(f"tx-{n}", "m", 1, START + n))
    assert [peek_payment(state, Payment(f"tx-{n}", "m", 1, START)).repeat for n in range(3)] == [
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
        fold_payment(state, Payment(f"tx-{n}", "m", 10**n, base + at))
    values = fold_payment(state, Payment("now", "m", 0, base + H + 5_000))
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
        fold_payment(state, Payment(f"tx-{n}", "m", 1, START + n))
    values = fold_payment(state, Payment("later", "m", 1, START + H + 20))
    assert values.features["user_transaction_count_1h"] == 1
    assert not [name for name in values.approximate if name.endswith(("_5m", "_1h"))]
    assert "user_transaction_count_1d" in values.approximate
    assert values.features["user_transaction_count_1d"] == 21


def test_a_hundred_times_the_cap_keeps_the_state_small_and_the_count_right() -> None:
    state = UserState(caps=SMALL_CAPS)
    for n in range(800):
        values = fold_payment(state, Payment(f"tx-{n}", f"m-{n % 2}", 1, START + n * 50))
    assert values.features["user_transaction_count_30d"] == 800
    assert values.features["user_merchant_distinct_1d"] == 2
    assert len(state.encode_online()) < 2_000


def test_more_merchants_than_the_cap_give_a_lower_bound_that_says_so() -> None:
    state = UserState(caps=SMALL_CAPS)
    for n in range(5):
        values = fold_payment(state, Payment(f"tx-{n}", f"m-{n}", 1, START + n * M))
    assert values.features["user_merchant_distinct_1d"] == 3
    assert "user_merchant_distinct_1d" in values.approximate
    # Ten minutes later the short window knows all its merchants again.
    values = fold_payment(state, Payment("next", "m-9", 1, START + 14 * M))
    assert values.features["user_merchant_distinct_5m"] == 1
    assert "user_merchant_distinct_5m" not in values.approximate


@pytest.mark.parametrize("amount", [AMOUNT_MAX, 2**53, 2**62, 2**63 - 1])
def test_sums_are_exact_beyond_64_bits(amount: int) -> None:
    state = UserState()
    for n in range(9):
        values = fold_payment(state, Payment(f"tx-{n}", "m", amount, START + n * M))
        state = UserState.decode(state.encode())
    assert values.features["user_amount_sum_1h"] == 9 * amount
    late = fold_payment(state, Payment("late", "m", amount, START + 1))
    assert late.features["user_amount_sum_1h"] == 2 * amount


@pytest.mark.parametrize(
    "payment", [Payment("tx", "m", 2**63, START), Payment("tx", "m", 1, 2**60 + 1)]
)
def test_a_number_beyond_what_the_engine_computes_is_refused_and_changes_nothing(
    payment: Payment,
) -> None:
    state = UserState()
    for use in (fold_payment, peek_payment):
        with pytest.raises((OverflowError, ValueError)):
            use(state, payment)
    assert state.encode() == UserState().encode()


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
    fold_payment(state, Payment("tx", "m", 1, START))
    online = UserState.decode(state.encode_online())
    with pytest.raises(ValueError, match="online"):
        fold_payment(online, Payment("tx-2", "m", 1, START))
    with pytest.raises(ValueError, match="online"):
        online.encode()
    assert online.read(as_of_ms=START - D - 1).approximate == tuple(USER_NAMES)
    assert online.encode_online() == state.encode_online()


def test_an_online_state_is_exact_up_to_a_day_before_its_newest_event() -> None:
    # m-a is visited again after the time that is asked for: only the log knows its first visit.
    state = UserState()
    for number, (merchant, at) in enumerate((("m-a", 0), ("m-b", H), ("m-a", D), ("m-c", D + H))):
        fold_payment(state, Payment(f"tx-{number}", merchant, 10**number, START + at))
    online = UserState.decode(state.encode_online())
    for back in (1, H, H + 1, D):
        values = online.read(as_of_ms=START + D + H - back)
        assert values == state.read(as_of_ms=START + D + H - back)
        assert values.approximate == ()
    assert online.read(as_of_ms=START + D - 1).features["user_merchant_distinct_1d"] == 2
    assert online.read(as_of_ms=START + D - 1).features["user_amount_sum_1d"] == 11


def test_the_log_of_the_online_form_costs_a_byte_a_visit() -> None:
    state = UserState()
    for n in range(200):
        fold_payment(state, Payment(f"tx-{n}", f"merchant-{n % 20:02}", 1, START + n * 10 * M))
    # 20 merchants, of which each is written once; 4 bytes of time and 1 of amount an event.
    assert len(state.encode_online()) < 200 * (4 + 1 + 1) + 20 * (4 + 1 + len("merchant-00")) + 100


def test_a_state_of_the_former_online_form_is_exact_as_of_its_newest_event_or_later() -> None:
    state = UserState()
    for n, merchant in enumerate(("m-a", "m-b")):
        fold_payment(state, Payment(f"tx-{n}", merchant, 5, START + n * M))
    former = UserState.decode(former_online_bytes(state, visits=2))
    for later in (0, 1, 4 * M, D):
        assert former.read(as_of_ms=START + M + later) == state.read(as_of_ms=START + M + later)
    assert former.read(as_of_ms=START + M - 1).approximate == tuple(USER_NAMES)
    with pytest.raises(ValueError, match="former online form"):
        former.encode_online()


def former_online_bytes(state: UserState, *, visits: int) -> bytes:
    """The bytes that earlier versions wrote: without the last three sections, the log of visits.

    As many visits of as many merchants are in the log.
    """
    data = state.encode_online()
    log = pack_texts([]) + pack_ints(range(visits)) + pack_ints([])
    header = Header(b"u", Form.ONLINE_AT_NEWEST, state.sequence, state.newest_ms)
    header_bytes = pack_header(header)
    return header_bytes + data[len(header_bytes) : -len(log)]


@pytest.mark.parametrize("size", [0, 1, 20, 29, 40, -1])
def test_bytes_that_end_too_early_are_refused(size: int) -> None:
    state = UserState()
    fold_payment(state, Payment("tx", "m", 1, START))
    with pytest.raises(StateBytesError):
        UserState.decode(state.encode()[:size])


def test_bytes_that_go_on_are_refused() -> None:
    with pytest.raises(StateBytesError, match="expected"):
        UserState.decode(UserState().encode() + b"\x00")
