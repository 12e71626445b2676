"""Random streams for the features: out of order, ties, repeats, edges of windows, labels any time.

Every time is drawn as a step from the newest event so far, so that steps to and around the edges
of windows are as likely as any other. `WEIR_HYPOTHESIS_EXAMPLES` says how many streams a test
draws.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from features.definitions import Caps
from tests.unit.features.oracle import D, H, M, Payment, Report

EXAMPLES = int(os.environ.get("WEIR_HYPOTHESIS_EXAMPLES", "12"))
START = 1_750_000_000_000
AMOUNT_MAX = 10**12

SMALL_CAPS = Caps(events_max=8, ids_max=10_000, merchants_max=3, visits_max=6, labelled_max=10_000)
"""Small enough that a stream of some dozen events is a hot key; ids and labels stay exact."""


def on_streams(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test on as many streams as asked for."""
    return settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )(test)


_EDGES = [edge + off for edge in (0, 5 * M, H, D, 7 * D, 30 * D) for off in (-1, 0, 1)]

forward = st.one_of(
    st.sampled_from([0, 0, 1, 1_000, 4_687, M]),
    st.sampled_from([edge for edge in _EDGES if edge >= 0]),
    st.integers(0, 2 * D),
)
late = st.one_of(
    st.sampled_from([-edge for edge in _EDGES if 0 <= edge <= D]),
    st.integers(-D, -1),
)
too_late = st.one_of(st.sampled_from([-D - 1, -2 * D, -31 * D, -38 * D]), st.integers(-60 * D, -D))
crowded = st.integers(0, 10_000)
"""Steps that make a key hot: many events in the shortest window."""

steps = st.one_of(forward, forward, crowded, late, too_late)
hot_steps = st.one_of(crowded, crowded, crowded, forward, late)


@st.composite
def payments(draw: Any, step: st.SearchStrategy[int] = steps, size: int = 40) -> list[Payment]:
    """Draw one user's payments in order of arrival; some ids come again."""
    stream = []
    newest = START
    for number in range(draw(st.integers(1, size))):
        time = newest + draw(step)
        newest = max(newest, time)
        key = draw(st.integers(max(0, number - 6), number + 4))
        merchant = draw(st.integers(0, 5))
        amount = draw(st.one_of(st.integers(0, 100), st.just(AMOUNT_MAX)))
        stream.append(Payment(f"tx-{key}", f"m-{merchant}", amount, time))
    return stream


@st.composite
def merchant_events(
    draw: Any,
    step: st.SearchStrategy[int] = steps,
    size: int = 40,
    *,
    labels_come_early: bool = True,
) -> list[tuple[str, int] | Report]:
    """Draw one merchant's transactions and labels in order of arrival.

    A label comes before or after its transaction, again, contradicting, or observed in the
    future; with ``labels_come_early`` false never before its transaction.
    """
    times: list[int] = []
    newest = START
    for _ in range(draw(st.integers(1, size))):
        # Longer steps than a user's: windows end a week ago.
        time = newest + draw(st.one_of(step, st.sampled_from([D, 2 * D, 7 * D - 1, 7 * D])))
        newest = max(newest, time)
        times.append(time)
    arrivals: list[tuple[int, int, tuple[str, int] | Report]] = [
        (2 * number, number, (f"tx-{number}", time)) for number, time in enumerate(times)
    ]
    for _ in range(draw(st.integers(0, size))):
        number = draw(st.integers(0, len(times) - 1))
        earliest = 0 if labels_come_early else 2 * number + 1
        place = draw(st.integers(earliest, max(earliest, 2 * len(times))))
        delay = draw(st.sampled_from([0, 1, H, D, D + 1, 7 * D, 7 * D + 1, 20 * D]))
        report = Report(f"tx-{number}", times[number], times[number] + delay, draw(st.booleans()))
        arrivals.append((place, len(arrivals), report))
    return [event for _, _, event in sorted(arrivals, key=lambda arrival: arrival[:2])]
