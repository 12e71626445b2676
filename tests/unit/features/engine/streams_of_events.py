"""Random streams for the features: out of order, ties, repeats, edges of windows, labels any time.

Every time is drawn as a step from the newest event so far, so that steps to and around the edges
of windows are as likely as any other. A stream is some dozen events, so half of the examples of
Hypothesis' profile are enough of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from features.definitions import Caps
from tests.unit.features.engine.brute_force import D, H, M, Payment, Report

STREAMS = settings().max_examples // 2
START = 1_750_000_000_000
AMOUNT_MAX = 10**12

SMALL_CAPS = Caps(events_max=8, ids_max=10_000, merchants_max=3, visits_max=6, labelled_max=10_000)
"""Small enough that a stream of some dozen events is a hot key; ids and labels stay exact."""


def on_streams(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test on ``STREAMS`` streams."""
    return _settings(STREAMS)(test)


def on_many_streams(test: Callable[..., None]) -> Callable[..., None]:
    """Run a cheap test on three times as many."""
    return _settings(3 * STREAMS)(test)


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


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
asked = st.one_of(
    st.integers(-D - 1, 1),
    st.sampled_from([-edge for edge in _EDGES if edge <= D + 1]),
    st.integers(-5 * M, 0),
    st.integers(-40 * D, 40 * D),
)
"""When a state is asked, from its newest event: before it more often than after it."""

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


half_days = st.sampled_from([0, 1, D // 2 - 1, D // 2, D // 2 + 1, D, 2 * D, 7 * D, -D // 2, -D])
"""Steps of a merchant: coarse, so that windows that end a week ago and labels meet often."""

around = st.sampled_from([-D - 1, -D, -D // 2, -1, 0, 1, D // 2, D, 7 * D, 20 * D])
"""When a label was observed, from the newest event at its arrival."""


@st.composite
def merchant_events(
    draw: Any,
    step: st.SearchStrategy[int] = half_days | half_days | steps,
    size: int = 30,
    *,
    labels_come_early: bool = True,
) -> list[tuple[str, int] | Report]:
    """Draw one merchant's transactions and labels in order of arrival.

    A label comes before or after its transaction, again, contradicting, or observed in the
    future; with ``labels_come_early`` false never before its transaction.
    """
    times: list[int] = []
    for _ in range(draw(st.integers(1, size))):
        times.append(max(times, default=START) + draw(step))
    stream: list[tuple[str, int] | Report] = []
    for number, time in enumerate(times):
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            last = len(times) - 1 if labels_come_early else number - 1
            about = draw(st.integers(0, max(last, 0)))
            if about > last:
                continue
            newest = max(times[: number or 1])
            observed = max(newest + draw(around), times[about])
            stream.append(Report(f"tx-{about}", times[about], observed, draw(st.booleans())))
        stream.append((f"tx-{number}", time))
    return stream
