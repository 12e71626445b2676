"""A merchant's state against the oracle, after each event of random streams with labels."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from features.definitions import CAPS, MERCHANT_FEATURES, Caps
from features.engine.state import MerchantState, StateBytesError, Values
from tests.unit.features.engine.brute_force import (
    DELAY,
    MERCHANT_WINDOWS,
    Answer,
    D,
    MerchantOracle,
    Report,
)
from tests.unit.features.engine.folds import MerchantEvent, fold_event
from tests.unit.features.engine.streams_of_events import (
    SMALL_CAPS,
    START,
    around,
    asked,
    hot_steps,
    merchant_events,
    on_streams,
)

MERCHANT_NAMES = [feature.name for feature in MERCHANT_FEATURES]


def fold_oracle(oracle: MerchantOracle, event: MerchantEvent) -> Answer | None:
    if isinstance(event, Report):
        return oracle.fold_label(event)
    return oracle.fold(*event)


@on_streams
@given(merchant_events())
def test_every_value_after_every_event_equals_the_oracle(stream: list[MerchantEvent]) -> None:
    state, oracle = MerchantState(), MerchantOracle()
    for event in stream:
        sequence = state.sequence
        values, answer = fold_event(state, event), fold_oracle(oracle, event)
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
    stream: list[MerchantEvent], later: int
) -> None:
    state, oracle = MerchantState(), MerchantOracle()
    for event in stream:
        fold_event(state, event)
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
def test_a_hot_key_is_exact_or_says_so_and_keeps_the_bound(stream: list[MerchantEvent]) -> None:
    state, oracle = MerchantState(caps=SMALL_CAPS), MerchantOracle()
    for event in stream:
        values, answer = fold_event(state, event), fold_oracle(oracle, event)
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
        values = fold_event(state, (f"tx-{n}", time))
        fold_event(state, Report(f"tx-{n}", time, time, True))
        assert values is not None
        for name in MERCHANT_WINDOWS:
            count = values.features[f"merchant_transaction_count_{name}_delay_7d"]
            rate = values.features[f"merchant_fraud_rate_{name}_delay_7d"]
            assert rate == float(bool(count))


@on_streams
@given(merchant_events(), merchant_events(hot_steps), st.sampled_from([CAPS, SMALL_CAPS]))
def test_a_state_restored_at_any_time_goes_on_byte_for_byte(
    first: list[MerchantEvent], second: list[MerchantEvent], caps: Caps
) -> None:
    state, restored = MerchantState(caps=caps), MerchantState(caps=caps)
    for event in first + second:
        restored = MerchantState.decode(restored.encode(), caps=caps)
        assert fold_event(restored, event) == fold_event(state, event)
        assert restored.encode() == state.encode()


@on_streams
@given(merchant_events(), st.integers(0, 60 * D))
def test_the_online_form_reads_like_the_durable_one(
    stream: list[MerchantEvent], later: int
) -> None:
    caps = SMALL_CAPS
    state = MerchantState(caps=caps)
    for event in stream:
        fold_event(state, event)
    as_of = (state.newest_ms or START) + later
    online = MerchantState.decode(state.encode_online(), caps=caps)
    assert online.read(as_of_ms=as_of) == state.read(as_of_ms=as_of)


@on_streams
@given(
    merchant_events() | merchant_events(hot_steps, size=60),
    st.lists(asked | around, min_size=3, max_size=3),
    st.sampled_from([CAPS, SMALL_CAPS]),
)
def test_the_online_form_reads_like_the_durable_one_before_the_newest_event_too(
    stream: list[MerchantEvent], steps: list[int], caps: Caps
) -> None:
    state = MerchantState(caps=caps)
    for event in stream:
        fold_event(state, event)
        online = MerchantState.decode(state.encode_online(), caps=caps)
        assert online.encode_online() == state.encode_online()
        for step in steps:
            as_of = (state.newest_ms or START) + step
            found, expected = online.read(as_of_ms=as_of), state.read(as_of_ms=as_of)
            if step >= -D or state.newest_ms is None:
                assert found == expected
            else:
                assert found.approximate == expected.approximate == tuple(MERCHANT_NAMES)


@on_streams
@given(merchant_events(hot_steps), st.integers(0), st.binary(min_size=1, max_size=4))
def test_damaged_bytes_are_read_or_refused_and_never_anything_else(
    stream: list[MerchantEvent], at: int, damage: bytes
) -> None:
    state = MerchantState(caps=SMALL_CAPS)
    for event in stream:
        fold_event(state, event)
    data = bytearray(state.encode())
    at %= len(data)
    data[at : at + len(damage)] = damage
    with suppress(StateBytesError):
        MerchantState.decode(bytes(data), caps=SMALL_CAPS)
