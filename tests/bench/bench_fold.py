"""What one fold costs, and that it does not grow: CPU microseconds an event, in order of time.

    PYTHONPATH=. .venv/bin/python tests/bench/bench_fold.py

Input: one key, one event a step, as many events in its longest window as each row says; a user
visits 50 merchants, one in 50 of a merchant's transactions is labelled fraud 3 days later. After
the window has filled, ``fold us`` is the best of 10 runs of 2,000 folds, ``worst ms`` the slowest
of 20,000, taken alone; bytes are of the durable and of the online form. A hot key is past
``EVENTS_MAX``: it also reads tiles, and every 4,096 events fills them, which is its worst fold.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from typing import NamedTuple

from features.definitions import DAY_MS, EVENTS_MAX
from features.engine.state import MerchantState, UserState
from schemas.label import Label

EVENTS_IN_WINDOW = (10, 80, 1_000, 10_000, 100_000)
RUNS = 10
FOLDS = 2_000
START_MS = 1_750_000_000_000
HOT_SIZE = 100_000


class Key(NamedTuple):
    """A state that has seen its windows fill, and how to fold its next event."""

    state: UserState | MerchantState
    fold_next: Callable[[], None]


def filled_user(events: int, *, window_ms: int) -> Key:
    """Fold ``events`` and a fifth more, evenly over the window."""
    state = UserState()
    step_ms = window_ms // events
    number = 0

    def fold_next() -> None:
        nonlocal number
        number += 1
        state.fold(
            transaction_id=f"tx-{number}",
            merchant_id=f"m-{number % 50}",
            amount_minor=number % 10_000,
            event_time_ms=START_MS + number * step_ms,
        )

    for _ in range(events + events // 5):
        fold_next()
    return Key(state, fold_next)


def filled_merchant(events: int, *, window_ms: int) -> Key:
    """Fold ``events`` and a fifth more with their labels, evenly over the window."""
    state = MerchantState()
    step_ms = window_ms // events
    number = 0

    def fold_next() -> None:
        nonlocal number
        number += 1
        time_ms = START_MS + number * step_ms
        state.fold_transaction(
            transaction_id=f"tx-{number}", event_time_ms=time_ms, is_repeat=False
        )

    for _ in range(events + events // 5):
        fold_next()
        if number % 50 == 0:
            time_ms = START_MS + number * step_ms
            state.fold_label(Label(f"tx-{number}", "m", time_ms, time_ms + 3 * DAY_MS, True))
    return Key(state, fold_next)


def best_us(call: Callable[[], object], *, calls: int) -> float:
    """Give CPU microseconds a call, the best of all runs."""
    best_s = float("inf")
    for _ in range(RUNS):
        start_s = time.process_time()
        for _ in range(calls):
            call()
        best_s = min(best_s, time.process_time() - start_s)
    return best_s / calls * 1e6


def worst_ms(call: Callable[[], object], *, calls: int) -> float:
    """Give CPU milliseconds of the slowest call."""
    longest_s = 0.0
    for _ in range(calls):
        start_s = time.process_time()
        call()
        longest_s = max(longest_s, time.process_time() - start_s)
    return longest_s * 1e3


def report(name: str, key: Key) -> None:
    """Print one row."""
    state = key.state
    fold_us = best_us(key.fold_next, calls=FOLDS)
    slowest_ms = worst_ms(key.fold_next, calls=RUNS * FOLDS)
    encoded = state.encode()
    calls = 100 if len(encoded) < 20_000 else 1
    encode_us = best_us(state.encode, calls=calls)
    online_us = best_us(state.encode_online, calls=calls)
    print(
        f"{name:<34} {fold_us:9.1f} {slowest_ms:9.2f} {encode_us:10.1f} {len(encoded):10,}"
        f" {online_us:10.1f} {len(state.encode_online()):10,}"
    )


def main() -> None:
    """Print the table."""
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(f"EVENTS_MAX {EVENTS_MAX:,}; best of {RUNS} x {FOLDS:,} folds, CPU time")
    columns = ("fold us", "worst ms", "encode us", "bytes", "online us", "bytes")
    print(f"{'':<34} {columns[0]:>9} {columns[1]:>9}", *(f"{name:>10}" for name in columns[2:]))
    for events in EVENTS_IN_WINDOW:
        report(f"user, {events:,} in 30 d", filled_user(events, window_ms=30 * DAY_MS))
    report("user, 100,000 in 1 h", filled_user(HOT_SIZE, window_ms=DAY_MS // 24))
    for events in EVENTS_IN_WINDOW:
        report(f"merchant, {events:,} in 37 d", filled_merchant(events, window_ms=37 * DAY_MS))


if __name__ == "__main__":
    main()
