"""A user's state against the oracle, after each event of random streams."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from features.definitions import CAPS, USER_FEATURES, Caps
from features.engine.state import StateBytesError, UserState, Values
from tests.unit.features.engine.brute_force import (
    USER_WINDOWS,
    Answer,
    D,
    H,
    M,
    Payment,
    UserOracle,
)
from tests.unit.features.engine.folds import fold_payment, peek_payment
from tests.unit.features.engine.streams_of_events import (
    SMALL_CAPS,
    asked,
    hot_steps,
    on_streams,
    payments,
)

USER_NAMES = [feature.name for feature in USER_FEATURES]


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
        assert_exact(fold_payment(state, payment), oracle.fold(payment))
        assert state.newest_ms == oracle.newest
        assert state.sequence == len(oracle.counted)


@on_streams
@given(payments(), st.sampled_from([0, 1, 5 * M - 1, 5 * M, H, D, 30 * D - 1, 30 * D, 99 * D]))
def test_reading_as_of_the_newest_event_or_later_equals_the_oracle(
    stream: list[Payment], later: int
) -> None:
    state, oracle = UserState(), UserOracle()
    for payment in stream:
        fold_payment(state, payment)
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
        values, answer = fold_payment(state, payment), oracle.fold(payment)
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
        assert fold_payment(restored, payment) == fold_payment(state, payment)
        assert restored.encode() == state.encode()


@on_streams
@given(payments(), payments(hot_steps), st.sampled_from([CAPS, SMALL_CAPS]))
def test_peek_is_what_fold_would_return_and_changes_nothing(
    first: list[Payment], second: list[Payment], caps: Caps
) -> None:
    state = UserState(caps=caps)
    for payment in first + second:
        before = state.encode()
        peeked = peek_payment(state, payment)
        assert state.encode() == before
        assert peeked == fold_payment(state, payment)


@on_streams
@given(payments(), st.integers(0, 40 * D), st.sampled_from([CAPS, SMALL_CAPS]))
def test_the_online_form_peeks_like_the_durable_one(
    stream: list[Payment], later: int, caps: Caps
) -> None:
    state = UserState(caps=caps)
    for payment in stream:
        fold_payment(state, payment)
    assert state.newest_ms is not None
    new = Payment("never-seen", "m-0", 7, state.newest_ms + later)
    online = UserState.decode(state.encode_online(), caps=caps)
    assert peek_payment(online, new) == peek_payment(state, new)
    assert len(state.encode_online()) <= len(state.encode())


@on_streams
@given(payments(), st.lists(asked, min_size=3, max_size=3))
def test_the_online_form_is_exact_before_the_newest_event_like_the_durable_one(
    stream: list[Payment], steps: list[int]
) -> None:
    state = UserState()
    for payment in stream:
        fold_payment(state, payment)
        online = UserState.decode(state.encode_online())
        for step in steps:
            assert state.newest_ms is not None
            as_of = state.newest_ms + step
            if step >= -D:
                new = Payment("never-seen", "m-0", 7, as_of)
                assert peek_payment(online, new) == peek_payment(state, new)
                assert online.read(as_of_ms=as_of) == state.read(as_of_ms=as_of)
            else:
                assert online.read(as_of_ms=as_of).approximate == tuple(USER_NAMES)


@on_streams
@given(
    payments(hot_steps, size=60),
    st.lists(asked, min_size=3, max_size=3),
    st.sampled_from([SMALL_CAPS, replace(SMALL_CAPS, events_max=4, visits_max=30)]),
)
def test_the_online_form_of_a_hot_key_equals_the_durable_one_or_says_approximate(
    stream: list[Payment], steps: list[int], caps: Caps
) -> None:
    state = UserState(caps=caps)
    for payment in stream:
        fold_payment(state, payment)
        online = UserState.decode(state.encode_online(), caps=caps)
        assert online.encode_online() == state.encode_online()
        for step in steps:
            assert state.newest_ms is not None
            as_of = state.newest_ms + step
            new = Payment("never-seen", "m-0", 7, as_of)
            pairs = (
                (peek_payment(online, new), peek_payment(state, new)),
                (online.read(as_of_ms=as_of), state.read(as_of_ms=as_of)),
            )
            for found, expected in pairs:
                assert_equal_or_approximate(found, expected)
                if step >= -5 * M:
                    assert_equal_or_approximate(found, expected, may_differ="distinct")


def assert_equal_or_approximate(found: Values, expected: Values, *, may_differ: str = "") -> None:
    """Equality wherever the first are not approximate, and of all features of another kind."""
    assert set(expected.approximate) <= set(found.approximate)
    for name in USER_NAMES:
        if name not in found.approximate or may_differ not in name:
            assert found.features[name] == expected.features[name], name


@on_streams
@given(payments(hot_steps), st.integers(0), st.binary(min_size=1, max_size=4))
def test_damaged_bytes_are_read_or_refused_and_never_anything_else(
    stream: list[Payment], at: int, damage: bytes
) -> None:
    state = UserState(caps=SMALL_CAPS)
    for payment in stream:
        fold_payment(state, payment)
    data = bytearray(state.encode())
    at %= len(data)
    data[at : at + len(damage)] = damage
    with suppress(StateBytesError):
        UserState.decode(bytes(data), caps=SMALL_CAPS)
