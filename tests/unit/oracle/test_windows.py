"""Edges of windows and widths of tiles."""

from __future__ import annotations

import pytest

from features.definitions import MERCHANT_FEATURES, TILES_PER_WINDOW, USER_FEATURES
from tests.oracle.windows import BEFORE_ALL_MS, NEVER_MS, Edges, Span, spans_of

SPANS = spans_of((*USER_FEATURES, *MERCHANT_FEATURES))


@pytest.mark.parametrize("span", SPANS, ids=str)
def test_a_tile_is_at_most_a_64th_of_its_window_and_not_needlessly_small(span: Span) -> None:
    assert 0 < span.tile_ms * TILES_PER_WINDOW <= span.window_ms
    assert (span.tile_ms + 1) * TILES_PER_WINDOW > span.window_ms


def test_the_edges_lie_a_window_apart_and_the_delay_before_the_instant() -> None:
    assert Span(100, 30).edges(1_000) == Edges(after_ms=870, until_ms=970)


def test_a_window_that_several_aggregates_share_is_one_span() -> None:
    assert len(spans_of(USER_FEATURES)) == 5
    assert len(spans_of(MERCHANT_FEATURES)) == 3


def test_nothing_happened_before_a_key_that_has_no_events() -> None:
    assert BEFORE_ALL_MS - max(span.reach_ms for span in SPANS) * 2 > NEVER_MS
