"""One key's events in order of time: count and sum in any window.

Goal: the cost of an event grows neither with the length of a window nor with the events in it.

* **Single events** are sorted by (time, arrival) and have running sums. Count and sum of a window
  are differences between two positions, found by bisection. An event in order is appended. A late
  event is inserted, and the running sums of the newer events are corrected.
* **Tiles**: above ``events_max`` single events the oldest quarter is folded, in one step, into one
  grid for each window (``tiles.py``). An edge that cuts such a tile is moved back to its start;
  ``definitions.TILES_PER_WINDOW`` states the bound. A late event is a single event again.
* **Dead events**, which no window can reach any more, are dropped when they are the majority. No
  method reads them before that, so the moment of dropping changes no value and no byte.

The timeline knows no clock; the key's newest event time is an argument. Used by both states.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from types import MappingProxyType

from features.definitions import EVENTS_MAX, LATENESS_MS, TILES_PER_WINDOW
from tests.oracle.state_bytes import StateReader, pack_ints
from tests.oracle.tiles import Run, TileGrid
from tests.oracle.windows import NEVER_MS, Edges, Span

NOT_MOVED: Mapping[int, Edges] = MappingProxyType({})
_RUNNING_MAX = (1 << 63) - 1


class Timeline:
    """The events of one key that its windows can still reach.

    Args:
        spans: the windows that are read, all with the same delay.
        sums: whether events have a value that is summed; otherwise sums are 0.
        lateness_ms: how much older than the newest event a read may be and still be exact.
        events_max: single events kept, at least 4.
        is_online: the tiles are those of an online form, see :meth:`pack`.

    Attributes:
        tiled_until_ms: the latest event time that was folded into tiles.

    Examples:
        >>> timeline = Timeline((Span(60_000, 0),), sums=True)
        >>> for time_ms, amount in ((0, 100), (59_999, 20), (60_000, 3)):
        ...     _ = timeline.add(time_ms, newest_ms=60_000, value=amount)

        #            0                                59_999 60_000
        # window:    (----------------------------------x------x]

        >>> timeline.read(60_000, newest_ms=60_000)
        ([2], [23], {})
    """

    __slots__ = (
        "_coarsest",
        "_delay_ms",
        "_events_max",
        "_finest",
        "_grids",
        "_is_online",
        "_lateness_ms",
        "_retention_ms",
        "_running",
        "_spans",
        "_tiles_lateness_ms",
        "_times_ms",
        "tiled_until_ms",
    )

    def __init__(
        self,
        spans: Sequence[Span],
        *,
        sums: bool,
        lateness_ms: int = LATENESS_MS,
        events_max: int = EVENTS_MAX,
        is_online: bool = False,
    ) -> None:
        if len({span.delay_ms for span in spans}) != 1:
            raise ValueError(f"{spans}: the windows of a timeline end at the same time")
        self._spans = spans
        self._delay_ms = spans[0].delay_ms
        self._finest = min(range(len(spans)), key=lambda at: spans[at].window_ms)
        self._coarsest = max(range(len(spans)), key=lambda at: spans[at].window_ms)
        self._lateness_ms = lateness_ms
        self._retention_ms = _retention_ms(spans, lateness_ms)
        self._is_online = is_online
        # How much older than the newest event a read may be and find the tiles at its edges.
        self._tiles_lateness_ms = (
            _online_lateness_ms(spans[self._finest], lateness_ms) if is_online else lateness_ms
        )
        self._events_max = events_max
        self._times_ms = array("q")
        # _running[i] is the sum of the events before position i, plus a constant.
        self._running: array[int] | list[int] | None = array("q", [0]) if sums else None
        self._grids: tuple[TileGrid, ...] = ()
        self.tiled_until_ms = NEVER_MS

    @property
    def times_ms(self) -> array[int]:
        """The times of the single events, in order of (time, arrival); not to be changed."""
        return self._times_ms

    def horizon_ms(self, newest_ms: int) -> int:
        """Give the latest time at which events are dead."""
        return newest_ms - self._retention_ms

    def add(self, time_ms: int, *, newest_ms: int, value: int = 0) -> bool:
        """Add an event after those of the same time. For an event in order O(1), amortised.

        Args:
            time_ms: event time, ms since 1970 UTC.
            newest_ms: the key's newest event time, including this event.
            value: the value to sum, not negative.

        Returns:
            Whether older events were dropped or folded into tiles.
        """
        horizon_ms = newest_ms - self._retention_ms
        if time_ms <= horizon_ms:
            return False
        times_ms = self._times_ms
        in_order = not times_ms or time_ms >= times_ms[-1]
        at = len(times_ms) if in_order else bisect_right(times_ms, time_ms)
        times_ms.insert(at, time_ms)
        if self._running is not None:
            self._add_value(at, value)
        size = len(times_ms)
        if times_ms[size >> 1] <= horizon_ms:
            self._drop(bisect_right(times_ms, horizon_ms))
            return True
        if size > self._events_max:
            return self._fold_oldest(newest_ms)
        return False

    def remove(self, time_ms: int, *, newest_ms: int) -> None:
        """Remove one event without a value; if it is in tiles, one event of its tiles."""
        if self._running is not None:
            raise ValueError("a timeline with sums cannot remove an event by its time alone")
        if time_ms <= newest_ms - self._retention_ms:
            return
        at = bisect_right(self._times_ms, time_ms) - 1
        if at >= 0 and self._times_ms[at] == time_ms:
            del self._times_ms[at]
            return
        for grid in self._grids:
            number = time_ms // grid.tile_ms
            if grid.since(number)[0]:
                grid.add([Run(number, -1, 0)])

    def read(
        self, as_of_ms: int, *, newest_ms: int, moved: Mapping[int, Edges] = NOT_MOVED
    ) -> tuple[list[int], list[int], dict[int, Edges]]:
        """Read every window as of a time.

        Args:
            as_of_ms: the time, ms since 1970 UTC.
            newest_ms: the key's newest event time.
            moved: by position, edges to use instead of those of the window.

        Returns:
            The counts and the sums of all spans; and, by position, the moved edges of the spans
            that touch tiles, or may touch tiles that an online form lacks: their values are
            approximate.
        """
        times_ms, running = self._times_ms, self._running
        until_ms = as_of_ms - self._delay_ms
        easy_from_ms = max(self.tiled_until_ms, newest_ms - self._retention_ms)
        high = len(times_ms)
        if high and until_ms < times_ms[-1]:
            high = bisect_right(times_ms, until_ms)
        lacks_tiles = self._is_online and newest_ms - as_of_ms > self._tiles_lateness_ms
        counts: list[int] = []
        totals: list[int] = []
        touched: dict[int, Edges] = {}
        for position, (window_ms, _) in enumerate(self._spans):
            after_ms = until_ms - window_ms
            if after_ms >= easy_from_ms and not moved:
                low = bisect_right(times_ms, after_ms, 0, high)
                counts.append(high - low)
                totals.append(running[high] - running[low] if running is not None else 0)
                continue
            edges = moved.get(position) or Edges(after_ms, until_ms)
            edges, tiled = self._align(position, edges, newest_ms)
            count, total = self._between(edges, tiled, newest_ms)
            counts.append(count)
            totals.append(total)
            if tiled is not None or (lacks_tiles and edges.after_ms < self.tiled_until_ms):
                touched[position] = edges
        return counts, totals, touched

    def align(self, position: int, edges: Edges, *, newest_ms: int) -> Edges:
        """Move each edge of a window that cuts a tile with events to the start of that tile.

        The open edge moves on the grid of the window, the closed edge on the finest grid. Edges
        that have been moved do not move when aligned again.
        """
        return self._align(position, edges, newest_ms)[0]

    def between(self, position: int, edges: Edges, *, newest_ms: int) -> tuple[int, int]:
        """Give count and sum between aligned edges of one window."""
        _, tiled = self._align(position, edges, newest_ms)
        return self._between(edges, tiled, newest_ms)

    def _align(
        self, position: int, edges: Edges, newest_ms: int
    ) -> tuple[Edges, tuple[int, int] | None]:
        """Give the moved edges, and count and sum of the tiles between them.

        Count and sum are None if the window touches no tile; the edges are unchanged then.
        """
        after_ms, until_ms = edges
        if after_ms >= self.tiled_until_ms:
            return edges, None
        after_ms, count, total = self._cut(position, after_ms, newest_ms)
        if until_ms < self.tiled_until_ms:
            # The finest grid reaches back far enough for reads that are not too late, even if
            # their edge is moved; for all other reads only the coarsest grid is left.
            late_ms = newest_ms - self._delay_ms - until_ms
            in_time_ms = self._tiles_lateness_ms + self._spans[self._finest].tile_ms
            position = self._finest if late_ms <= in_time_ms else self._coarsest
            until_ms, later_count, later_total = self._cut(position, until_ms, newest_ms)
            count -= later_count
            total -= later_total
        if count <= 0 and until_ms == edges.until_ms:
            return edges, None
        return Edges(after_ms, until_ms), (max(count, 0), max(total, 0))

    def _cut(self, position: int, edge_ms: int, newest_ms: int) -> tuple[int, int, int]:
        """Give an edge, moved if it cuts a tile of a grid, and count and sum of all later tiles."""
        span = self._spans[position]
        tile_ms = span.window_ms // TILES_PER_WINDOW
        number = (edge_ms + 1) // tile_ms
        oldest = (newest_ms - self._lateness_ms - span.window_ms - span.delay_ms + 1) // tile_ms
        holds, count, total = self._grids[position].since(max(number, oldest))
        return number * tile_ms - 1 if holds else edge_ms, count, total

    def _between(
        self, edges: Edges, tiled: tuple[int, int] | None, newest_ms: int
    ) -> tuple[int, int]:
        times_ms, running = self._times_ms, self._running
        low = bisect_right(times_ms, max(edges.after_ms, newest_ms - self._retention_ms))
        high = bisect_right(times_ms, edges.until_ms, low)
        total = running[high] - running[low] if running is not None else 0
        if tiled is None:
            return high - low, total
        return high - low + tiled[0], total + tiled[1]

    def pack(self, *, newest_ms: int, is_online: bool = False) -> bytes:
        """Write the part that reads up to ``lateness_ms`` late can reach.

        Online, the tiles of a window reach back by one more window at most: at most as many tiles
        again as the window has.
        """
        lateness_ms = self._lateness_ms
        horizon_ms = newest_ms - self._retention_ms
        start = bisect_right(self._times_ms, horizon_ms)
        sections = [pack_ints([newest_ms - time_ms for time_ms in self._times_ms[start:]])]
        if self._running is not None:
            live = self._running[start:]
            sections.append(pack_ints([after - before for before, after in pairwise(live)]))
        if self.tiled_until_ms <= horizon_ms:
            sections.append(pack_ints([]))
            return b"".join(sections)
        sections.append(pack_ints([newest_ms - self.tiled_until_ms]))
        for span, grid in zip(self._spans, self._grids, strict=True):
            tiles_ms = _online_lateness_ms(span, lateness_ms) if is_online else lateness_ms
            first = _oldest_tile(span, newest_ms, tiles_ms)
            sections.append(grid.pack(first=first, newest=newest_ms // grid.tile_ms))
        return b"".join(sections)

    def unpack(self, reader: StateReader, *, newest_ms: int) -> None:
        """Read what :meth:`pack` wrote into this empty timeline."""
        self._times_ms = array("q", [newest_ms - back_ms for back_ms in reader.ints()])
        if self._running is not None:
            totals = list(accumulate(reader.ints(), initial=0))
            self._running = totals if totals[-1] > _RUNNING_MAX else array("q", totals)
        for back_ms in reader.ints():
            self.tiled_until_ms = newest_ms - back_ms
            self._grids = self._new_grids()
            for grid in self._grids:
                grid.unpack(reader, newest=newest_ms // grid.tile_ms)

    def _add_value(self, at: int, value: int) -> None:
        """Add the event at a position to the running sums."""
        running = self._running
        assert running is not None
        if running[-1] + value > _RUNNING_MAX:
            base = running[0]
            rebased = [total - base for total in running]
            fits = rebased[-1] + value <= _RUNNING_MAX
            running = self._running = array("q", rebased) if fits else rebased
        if at == len(running) - 1:
            running.append(running[at] + value)
            return
        newer = [total + value for total in running[at:]]
        if isinstance(running, array):
            running[at + 1 :] = array("q", newer)
        else:
            running[at + 1 :] = newer

    def _drop(self, size: int) -> None:
        del self._times_ms[:size]
        if self._running is not None:
            del self._running[:size]

    def _fold_oldest(self, newest_ms: int) -> bool:
        """Fold the oldest quarter into tiles, if more than ``events_max`` events are not dead."""
        times_ms = self._times_ms
        start = bisect_right(times_ms, newest_ms - self._retention_ms)
        if len(times_ms) - start <= self._events_max:
            return False
        end = start + self._events_max // 4
        self._grids = self._grids or self._new_grids()
        for span, grid in zip(self._spans, self._grids, strict=True):
            oldest = _oldest_tile(span, newest_ms, self._lateness_ms)
            grid.drop_before(oldest)
            self._fold_into(grid, max(start, bisect_left(times_ms, oldest * grid.tile_ms)), end)
        self.tiled_until_ms = max(self.tiled_until_ms, times_ms[end - 1])
        self._drop(end)
        return True

    def _fold_into(self, grid: TileGrid, start: int, end: int) -> None:
        """Add the events between two positions to their tiles of one grid."""
        times_ms, running = self._times_ms, self._running
        runs: list[Run] = []
        while start < end:
            number = times_ms[start] // grid.tile_ms
            stop = bisect_left(times_ms, (number + 1) * grid.tile_ms, start, end)
            total = running[stop] - running[start] if running is not None else 0
            runs.append(Run(number, stop - start, total))
            start = stop
        if runs:
            grid.add(runs)

    def _new_grids(self) -> tuple[TileGrid, ...]:
        return tuple(TileGrid(span.tile_ms) for span in self._spans)


def _retention_ms(spans: Sequence[Span], lateness_ms: int) -> int:
    """Give how long a read can reach a single event: the longest span and a tile at its edge."""
    return lateness_ms + max(span.reach_ms + span.tile_ms for span in spans)


def _online_lateness_ms(span: Span, lateness_ms: int) -> int:
    """Give how much older than the newest event a read may be and find its tiles online."""
    return min(lateness_ms, span.window_ms)


def _oldest_tile(span: Span, newest_ms: int, lateness_ms: int) -> int:
    """Give the number of the oldest tile that a read of this span can reach."""
    return (newest_ms - lateness_ms - span.reach_ms + 1) // span.tile_ms
