"""Windows as edges in event time.

A window is open on the left and closed on the right. Aggregates, keys and clocks are not known
here. ``timeline.py`` takes the edges of a window from here, and the width of its tiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from features.definitions import TILES_PER_WINDOW, Velocity

NEVER_MS = -(1 << 62)
"""A time before every event: it has not happened yet."""

BEFORE_ALL_MS = NEVER_MS // 2
"""The newest event time of a key without events: before every event, after ``NEVER_MS``."""


class Span(NamedTuple):
    """A window and its delay, both in ms: the time that a velocity feature covers.

    Examples:
        >>> span = Span(window_ms=60_000, delay_ms=10_000)

        #   as of 100_000:     30_000                90_000     100_000
        #                        (---------------------]------------x
        #                                window            delay

        >>> span.edges(100_000)
        Edges(after_ms=30000, until_ms=90000)
    """

    window_ms: int
    delay_ms: int

    @property
    def reach_ms(self) -> int:
        """Time from the open edge of the window to the event."""
        return self.window_ms + self.delay_ms

    @property
    def tile_ms(self) -> int:
        """Width of the tiles of this window, at most 1/64 of the window."""
        return self.window_ms // TILES_PER_WINDOW

    def edges(self, as_of_ms: int) -> Edges:
        """Give the edges of the window as of a time."""
        return Edges(as_of_ms - self.window_ms - self.delay_ms, as_of_ms - self.delay_ms)


class Edges(NamedTuple):
    """An interval of event time, ``(after_ms, until_ms]``, in ms since 1970 UTC."""

    after_ms: int
    until_ms: int


def spans_of(features: Iterable[Velocity]) -> tuple[Span, ...]:
    """Give the distinct windows of features, in order of first appearance."""
    spans = dict.fromkeys(Span(feature.window_ms, feature.delay_ms) for feature in features)
    return tuple(spans)
