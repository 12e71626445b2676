"""A timeline of its own: running sums, removal, tiles, what is dropped when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definitions import DAY_MS, HOUR_MS
from tests.oracle.state_bytes import Form, Header, StateReader, pack_header
from tests.oracle.timeline import Timeline
from tests.oracle.windows import Edges, Span
from tests.unit.features.engine.streams_of_events import START, on_many_streams, on_streams

MINUTE = Span(60_000, 0)
HOUR = Span(HOUR_MS, 0)
DELAYED = (Span(DAY_MS, DAY_MS), Span(7 * DAY_MS, DAY_MS))


def test_running_sums_go_on_past_64_bits_of_history() -> None:
    timeline = Timeline((MINUTE,), sums=True, lateness_ms=0)
    amount = 2**60
    for n in range(50):
        time = START + n * 20_000
        timeline.add(time, newest_ms=time, value=amount)
        counts, totals, _ = timeline.read(time, newest_ms=time)
        assert counts == [min(n + 1, 3)]
        assert totals == [min(n + 1, 3) * amount]


def test_a_value_that_no_running_sum_could_hold_is_summed_all_the_same() -> None:
    timeline = Timeline((MINUTE,), sums=True)
    for n in range(3):
        timeline.add(START + n, newest_ms=START + 2, value=2**63 - 1)
    timeline.add(START, newest_ms=START + 2, value=1)
    assert timeline.read(START + 2, newest_ms=START + 2)[1] == [3 * (2**63 - 1) + 1]
    assert timeline.read(START, newest_ms=START + 2)[1] == [2**63]


def test_memory_stays_within_twice_what_windows_reach() -> None:
    timeline = Timeline((MINUTE,), sums=True, lateness_ms=0)
    for n in range(10_000):
        timeline.add(START + n * 1_000, newest_ms=START + n * 1_000, value=1)
        assert len(timeline._times_ms) <= 2 * 62


def test_an_event_that_no_window_can_reach_is_not_kept() -> None:
    timeline = Timeline((MINUTE,), sums=False, lateness_ms=0)
    horizon = timeline.horizon_ms(START)
    for time, kept in ((horizon, 0), (horizon + 1, 1)):
        timeline.add(time, newest_ms=START)
        assert len(timeline._times_ms) == kept


@on_streams
@given(st.lists(st.tuples(st.integers(0, 10 * DAY_MS), st.booleans()), max_size=40))
def test_removing_gives_the_timeline_without_the_event(events: list[tuple[int, bool]]) -> None:
    newest = START + 10 * DAY_MS
    with_removal = Timeline(DELAYED, sums=False, events_max=4)
    kept = []
    for at, stays in events:
        with_removal.add(START + at, newest_ms=newest)
        if stays:
            kept.append(START + at)
        else:
            with_removal.remove(START + at, newest_ms=newest)
    # Where tiles make the answer approximate, ask between the edges that they answer for.
    for position, span in enumerate(DELAYED):
        edges = with_removal.align(position, span.edges(newest), newest_ms=newest)
        count, _ = with_removal.between(position, edges, newest_ms=newest)
        assert count == sum(edges.after_ms < time <= edges.until_ms for time in kept)


def test_a_timeline_with_sums_does_not_guess_which_value_to_remove() -> None:
    timeline = Timeline((MINUTE,), sums=True)
    with pytest.raises(ValueError, match="sums"):
        timeline.remove(START, newest_ms=START)


def test_windows_that_end_at_different_times_need_a_timeline_each() -> None:
    with pytest.raises(ValueError, match="end at the same time"):
        Timeline((MINUTE, Span(60_000, 1)), sums=False)


#  one hour's tiles, 56_250 ms each:
#
#       first tile            (edge)           last tile
#    [----x-------x------)  ...  [x------)  ...  [--x---x---)
#         ^ after                                     ^ until
#    <----| moved here                       <--------| moved here
def test_edges_that_cut_tiles_with_events_move_back_to_their_start_and_no_others_do() -> None:
    base = START // HOUR.tile_ms * HOUR.tile_ms
    timeline = Timeline((HOUR,), sums=True, events_max=4)
    tile = HOUR.tile_ms
    times = [base + 10, base + 20, base + 5 * tile, base + 60 * tile + 5, base + 60 * tile + 9]
    newest = base + 100 * tile
    for time in (*times, newest - 3, newest - 2, newest - 1, newest):
        timeline.add(time, newest_ms=newest, value=time - base)
    assert timeline.tiled_until_ms == times[-1]

    def align(after: int, until: int) -> tuple[int, int]:
        edges = timeline.align(0, Edges(base + after, base + until), newest_ms=newest)
        return edges.after_ms - base, edges.until_ms - base

    assert align(15, 60 * tile + 7) == (-1, 60 * tile - 1)
    assert align(-1, 60 * tile - 1) == (-1, 60 * tile - 1)
    assert align(-1, tile - 1) == (-1, tile - 1)
    assert align(tile - 1, 70 * tile) == (tile - 1, 70 * tile)
    assert align(tile + 3, 60 * tile + 9) == (tile + 3, 60 * tile + 9)
    assert align(60 * tile + 7, 90 * tile) == (60 * tile - 1, 90 * tile)
    assert align(60 * tile + 9, 90 * tile) == (60 * tile + 9, 90 * tile)
    assert timeline.between(0, Edges(base - 1, base + 60 * tile - 1), newest_ms=newest) == (
        3,
        30 + 5 * tile,
    )


#   late(0)      first tiled(5_000)    (-----------window------------
#   tiled last, and does not hide what was tiled before it
def test_late_events_in_tiles_do_not_hide_the_newer_ones() -> None:
    base = START // MINUTE.tile_ms * MINUTE.tile_ms
    timeline = Timeline((MINUTE,), sums=False, events_max=4)
    newest = base + 50_000
    for at in (5_000, 20_000, 30_000, 40_000, 50_000, 0):
        timeline.add(base + at, newest_ms=newest)
    assert timeline.tiled_until_ms == base + 5_000
    counts, _, touched = timeline.read(base + 63_000, newest_ms=newest)
    assert counts == [5]
    assert list(touched) == [0]


@on_many_streams
@given(
    st.lists(st.integers(-HOUR_MS, HOUR_MS // 2) | st.integers(0, 10_000), min_size=8, max_size=60),
    st.integers(-HOUR_MS, 0) | st.just(-HOUR_MS),
)
def test_an_approximate_value_is_the_exact_one_of_the_moved_window(
    steps: list[int], late: int
) -> None:
    spans = (Span(10 * 60_000, 60_000), Span(HOUR_MS, 60_000))
    timeline = Timeline(spans, sums=True, events_max=4, lateness_ms=HOUR_MS)
    newest, added = START, []
    for value, step in enumerate(steps):
        time = newest + step
        newest = max(newest, time)
        timeline.add(time, newest_ms=newest, value=value)
        added.append((time, value))
    as_of = newest + late
    counts, totals, touched = timeline.read(as_of, newest_ms=newest)
    for position, span in enumerate(spans):
        exact = span.edges(as_of)
        edges = touched.get(position, exact)
        within = [value for t, value in added if edges.after_ms < t <= edges.until_ms]
        assert counts[position] == len(within)
        assert totals[position] == sum(within)
        assert timeline.align(position, edges, newest_ms=newest) == edges
        again = timeline.between(position, edges, newest_ms=newest)
        assert again == (counts[position], totals[position])
        assert 0 <= exact.after_ms - edges.after_ms < span.window_ms / 64
        assert 0 <= exact.until_ms - edges.until_ms < spans[0].window_ms / 64


def test_when_dead_events_are_dropped_does_not_show_in_the_bytes() -> None:
    timeline = Timeline((MINUTE,), sums=True)
    restored = Timeline((MINUTE,), sums=True)
    for n in range(200):
        time = START + n * DAY_MS // 9
        for each in (timeline, restored):
            each.add(time, newest_ms=time, value=n)
        packed = timeline.pack(newest_ms=time)
        assert restored.pack(newest_ms=time) == packed
        reader = StateReader(pack_header(Header(b"u", Form.DURABLE, 0, 0)) + packed, kind=b"u")
        restored = Timeline((MINUTE,), sums=True)
        restored.unpack(reader, newest_ms=time)
