"""The native engine against the fold in plain Python: equal values, marks and bytes, always.

Random streams of every kind that has ever been wrong somewhere: ties, late and much too late
events, repeats, hot keys under small caps, sums beyond 63 bits, labels in any order, states written
and read back at any time, online forms read before and after the newest event.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.definitions import CAPS, LABEL_WAIT_MS, Caps
from features.engine import state as engine
from tests.component.features.state_pairs import MerchantPair, UserPair
from tests.oracle import merchant_state, state_bytes, user_state
from tests.unit.features.engine.brute_force import D, H, M, Payment, Report
from tests.unit.features.engine.folds import MerchantEvent
from tests.unit.features.engine.streams_of_events import (
    START,
    around,
    asked,
    hot_steps,
    merchant_events,
    payments,
)

TINY = Caps(
    events_max=4, ids_max=3, merchants_max=2, visits_max=4, labelled_max=4, observations_max=1
)
SMALL = Caps(
    events_max=16, ids_max=20, merchants_max=5, visits_max=8, labelled_max=8, observations_max=2
)
ALL_CAPS = [CAPS, TINY, SMALL]
AMOUNTS = [0, 5, 10**6, 10**18, 2**63 - 1]
IDS = ["t", "é", "😀", "a" * 128]

on_streams = settings(suppress_health_check=[HealthCheck.too_slow])
caps_of_any_size = st.sampled_from(ALL_CAPS)
times_asked = st.lists(asked | around, min_size=2, max_size=2)


@on_streams
@given(payments() | payments(hot_steps, size=60), times_asked, caps_of_any_size)
def test_a_user_of_drawn_streams(stream: list[Payment], steps: list[int], caps: Caps) -> None:
    pair = UserPair(caps)
    for number, payment in enumerate(stream):
        pair.peek(payment)
        pair.fold(payment)
        newest_ms = pair.native.newest_ms
        assert newest_ms is not None
        for step in steps:
            pair.read(newest_ms + step)
        pair.check_online(*(newest_ms + step for step in steps))
        if number % 3 == 0:
            pair.restore()
        else:
            pair.check_bytes()


@on_streams
@given(merchant_events() | merchant_events(hot_steps, size=60), times_asked, caps_of_any_size)
def test_a_merchant_of_drawn_streams(
    stream: list[MerchantEvent], steps: list[int], caps: Caps
) -> None:
    pair = MerchantPair(caps)
    for number, event in enumerate(stream):
        if isinstance(event, Report):
            pair.fold_label(event)
        else:
            pair.fold(*event)
        newest_ms = pair.native.newest_ms or START
        for step in steps:
            pair.read(newest_ms + step)
        pair.check_online(*(newest_ms + step for step in steps))
        if number % 3 == 0:
            pair.restore()
        else:
            pair.check_bytes()


class SeededStream:
    """One user and one merchant with a long random history; the seed decides everything."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        caps = rng.choice(ALL_CAPS)
        self.user, self.merchant = UserPair(caps), MerchantPair(caps)
        self.scale = rng.choice([M, H, D])
        self.newest = rng.choice([0, START])
        self.ids: list[str] = []

    def step(self, number: int) -> None:
        rng = self.rng
        self.newest += rng.choice([0, 0, 1, rng.randrange(self.scale), rng.randrange(3 * D)])
        payment = Payment(
            self.an_id(f"{rng.choice(IDS)}{number}"[-128:], again=0.15),
            f"m-{rng.randrange(rng.choice([2, 8]))}",
            rng.choice([*AMOUNTS, rng.randrange(10**6)]),
            self.a_time(),
        )
        self.ids.append(payment.transaction_id)
        if rng.random() < 0.3:
            self.user.peek(payment)
        is_repeat = self.user.fold(payment).repeat
        self.merchant.fold(payment.transaction_id, payment.event_time_ms, is_repeat=is_repeat)
        if rng.random() < 0.4:
            self.report(payment.event_time_ms)
        for pair in (self.user, self.merchant):
            pair.read(max(0, self.newest + rng.choice([0, 1, -1, -rng.randrange(2 * D), 40 * D])))
            if rng.random() < 0.2:
                pair.check_online(self.newest, max(0, self.newest - rng.randrange(2 * D)))
                rng.choice([pair.check_bytes, pair.restore])()

    def report(self, around_ms: int) -> None:
        """Report one of the transactions, known or still to come, at any time."""
        rng = self.rng
        time_ms = max(0, around_ms - rng.randrange(self.scale))
        observed_ms = time_ms + rng.choice([0, rng.randrange(5 * self.scale), 8 * D, 70 * D])
        if rng.random() < 0.2:
            # As old as a label of an unknown transaction may be, or just older.
            newest_ms = self.merchant.native.newest_ms or 0
            time_ms = observed_ms = max(0, newest_ms - LABEL_WAIT_MS - rng.choice([0, 1]))
        to_come = f"{IDS[0]}{len(self.ids) + rng.randrange(5)}"
        self.merchant.fold_label(
            Report(self.an_id(to_come, again=0.8), time_ms, observed_ms, rng.random() < 0.6)
        )

    def an_id(self, new: str, *, again: float) -> str:
        return self.rng.choice(self.ids) if self.ids and self.rng.random() < again else new

    def a_time(self) -> int:
        rng = self.rng
        if rng.random() < 0.75:
            return self.newest
        back = rng.choice([1, rng.randrange(self.scale), rng.randrange(3 * D), 50 * D])
        return max(0, self.newest - back)


@on_streams
@given(st.integers(0, 2**32))
def test_a_user_and_a_merchant_of_long_seeded_streams(seed: int) -> None:
    stream = SeededStream(seed)
    for number in range(stream.rng.choice([30, 120, 300])):
        stream.step(number)
    stream.user.check_bytes()
    stream.merchant.check_bytes()


def test_a_hot_key_past_the_caps_of_production() -> None:
    """Once with the real caps: events, visits and merchants go beyond them, labels nearly."""
    user, merchant = UserPair(CAPS), MerchantPair(CAPS)
    for number in range(CAPS.events_max + CAPS.events_max // 2):
        time_ms = START + number * 211
        payment = Payment(f"t-{number}", f"m-{number % 5_000}", number, time_ms)
        user.fold(payment)
        merchant.fold(payment.transaction_id, time_ms)
        if number % 7 == 0:
            merchant.fold_label(Report(payment.transaction_id, time_ms, time_ms + D, True))
    newest_ms = START + number * 211
    for pair in (user, merchant):
        pair.read(newest_ms - H)
        pair.read(newest_ms + 8 * D)
        pair.check_online(newest_ms, newest_ms - H, newest_ms + 8 * D)
        pair.restore()
        pair.read(newest_ms + 8 * D)


Decode = Callable[..., object]


def refused(decode: Decode, data: bytes, error: type[Exception]) -> bool:
    """Whether the bytes are refused; every other error fails the test."""
    try:
        decode(data, caps=TINY)
    except error:
        return True
    return False


@on_streams
@given(
    payments(hot_steps),
    merchant_events(hot_steps),
    st.booleans(),
    st.lists(st.tuples(st.integers(0), st.binary(max_size=4)), min_size=60, max_size=60),
)
def test_damaged_bytes_never_break_the_engine(
    stream: list[Payment],
    events: list[MerchantEvent],
    is_online: bool,
    damages: list[tuple[int, bytes]],
) -> None:
    """It refuses them, or reads a state that can be used; the oracle need not decide alike."""
    user, merchant = UserPair(TINY), MerchantPair(TINY)
    for payment in stream:
        user.fold(payment)
    for event in events:
        merchant.fold_label(event) if isinstance(event, Report) else merchant.fold(*event)
    for pair in (user, merchant):
        data = pair.native.encode_online() if is_online else pair.native.encode()
        for at, damage in damages:
            start = at % len(data)
            damaged = data[:start] + damage + data[start + len(damage) :]
            try:
                state = type(pair.native).decode(damaged, caps=TINY)
            except engine.StateBytesError:
                continue
            state.read(as_of_ms=START)
            state.read(as_of_ms=START + 40 * D)


@pytest.mark.parametrize(
    ("native", "oracle"),
    [
        (engine.UserState, user_state.UserState),
        (engine.MerchantState, merchant_state.MerchantState),
    ],
)
def test_both_refuse_the_same_headers(native: type, oracle: type) -> None:
    data = oracle().encode()
    assert native().encode() == data
    for at in range(13):
        damaged = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        assert refused(native.decode, damaged, engine.StateBytesError)
        assert refused(oracle.decode, damaged, state_bytes.StateBytesError)
    for size in range(len(data)):
        assert refused(native.decode, data[:size], engine.StateBytesError)
        assert refused(oracle.decode, data[:size], state_bytes.StateBytesError)
    assert refused(native.decode, data + b"\x00", engine.StateBytesError)
