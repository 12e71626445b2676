"""One grid of tiles: what a hot key's oldest events are folded into, for one window.

A tile is the count and the sum of the events in ``[n * tile_ms, (n + 1) * tile_ms)``; the grid is
absolute, so two timelines share it. Knows nothing of windows; ``timeline.py`` owns one grid for
each window, moves the window's edges onto it and drops the tiles that no window can reach.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import NamedTuple

from features.state_bytes import StateReader, pack_ints


class Tail(NamedTuple):
    """A tile and all that follow it.

    Attributes:
        holds_first: whether the tile itself holds events.
        size: how many events they all hold.
        total: their sum.
    """

    holds_first: bool
    size: int
    total: int


class TileGrid:
    """The tiles of one window that hold events, in order of time.

    Kept as running totals, so that any tail of tiles is read by two differences. Plain lists,
    not arrays: a total may pass 2^63.

    Args:
        tile_ms: width of a tile, in ms.

    Examples:
        >>> grid = TileGrid(1_000)
        >>> grid.add(7, count=2, total=50)
        >>> grid.add(9, count=1, total=5)
        >>> grid.since(7)
        Tail(holds_first=True, size=3, total=55)
        >>> grid.since(8)
        Tail(holds_first=False, size=1, total=5)
    """

    __slots__ = ("_counts", "_numbers", "_totals", "tile_ms")

    def __init__(self, tile_ms: int) -> None:
        self.tile_ms = tile_ms
        self._numbers: list[int] = []
        self._counts = [0]
        self._totals = [0]

    def add(self, number: int, *, count: int, total: int) -> None:
        """Add events to a tile. In order of time O(1); else O(newer tiles).

        Args:
            number: of the tile.
            count: how many; negative takes events away.
            total: their sum.
        """
        numbers, counts, totals = self._numbers, self._counts, self._totals
        if not numbers or number > numbers[-1]:
            numbers.append(number)
            counts.append(counts[-1])
            totals.append(totals[-1])
        at = bisect_left(numbers, number)
        if numbers[at] != number:
            numbers.insert(at, number)
            counts.insert(at, counts[at])
            totals.insert(at, totals[at])
        for index in range(at + 1, len(counts)):
            counts[index] += count
            totals[index] += total
        if counts[at + 1] == counts[at]:
            del numbers[at], counts[at + 1], totals[at + 1]

    def since(self, number: int) -> Tail:
        """Read a tile and all that follow it."""
        numbers, counts, totals = self._numbers, self._counts, self._totals
        at = bisect_left(numbers, number)
        return Tail(
            at < len(numbers) and numbers[at] == number,
            counts[-1] - counts[at],
            totals[-1] - totals[at],
        )

    def drop_before(self, number: int) -> None:
        """Forget the tiles before this one."""
        at = bisect_left(self._numbers, number)
        del self._numbers[:at], self._counts[:at], self._totals[:at]

    def pack(self, *, first: int, newest: int) -> bytes:
        """Write the tiles from ``first`` on, numbered backwards from ``newest``."""
        at = bisect_left(self._numbers, first)
        return (
            pack_ints([newest - number for number in self._numbers[at:]])
            + pack_ints(_steps(self._counts[at:]))
            + pack_ints(_steps(self._totals[at:]))
        )

    def unpack(self, reader: StateReader, *, newest: int) -> None:
        """Read what :meth:`pack` wrote into this empty grid."""
        for back, count, total in zip(reader.ints(), reader.ints(), reader.ints(), strict=True):
            self.add(newest - back, count=count, total=total)


def _steps(totals: list[int]) -> list[int]:
    """Undo the running total."""
    return [after - before for before, after in pairwise(totals)]
