"""One grid of tiles, into which the oldest events of a hot key are folded, for one window.

A tile is the count and the sum of the events in ``[n * tile_ms, (n + 1) * tile_ms)``. The grid is
absolute, so two timelines have the same tiles. Windows are not known here; ``timeline.py`` owns one
grid for each window, moves the window's edges to it and drops the tiles that no window can reach.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.oracle.state_bytes import StateReader, pack_ints


class Run(NamedTuple):
    """Events of one tile.

    Attributes:
        number: number of the tile.
        size: number of events; negative to remove events.
        total: sum of the events.
    """

    number: int
    size: int
    total: int


class TileGrid:
    """The tiles of one window that hold events, in order of time.

    Kept as running totals, so that count and sum of a tile and all later ones are two differences.
    Lists and not arrays, because a total may exceed 2^63.

    Args:
        tile_ms: width of a tile, in ms.

    Examples:
        >>> grid = TileGrid(1_000)
        >>> grid.add([Run(7, size=2, total=50), Run(9, size=1, total=5)])
        >>> grid.since(7)
        (True, 3, 55)
        >>> grid.since(8)
        (False, 1, 5)
    """

    __slots__ = ("_numbers", "_sizes", "_totals", "tile_ms")

    def __init__(self, tile_ms: int) -> None:
        self.tile_ms = tile_ms
        self._numbers: list[int] = []
        self._sizes = [0]
        self._totals = [0]

    def add(self, runs: Sequence[Run]) -> None:
        """Add events to tiles. O(runs + tiles newer than the oldest run).

        Args:
            runs: at least one, in order of their numbers, each number once.
        """
        at = bisect_left(self._numbers, runs[0].number)
        tiles = dict(zip(self._numbers[at:], self._sizes_and_totals(at), strict=True))
        for number, size, total in runs:
            known_size, known_total = tiles.get(number, (0, 0))
            tiles[number] = (known_size + size, known_total + total)
        del self._numbers[at:], self._sizes[at + 1 :], self._totals[at + 1 :]
        for number in sorted(tiles):
            size, total = tiles[number]
            if size:
                self._numbers.append(number)
                self._sizes.append(self._sizes[-1] + size)
                self._totals.append(self._totals[-1] + total)

    def since(self, number: int) -> tuple[bool, int, int]:
        """Read a tile and all later ones.

        Returns:
            Whether the tile itself holds events; the count of all; the sum of all.
        """
        numbers, sizes, totals = self._numbers, self._sizes, self._totals
        at = bisect_left(numbers, number)
        holds = at < len(numbers) and numbers[at] == number
        return holds, sizes[-1] - sizes[at], totals[-1] - totals[at]

    def drop_before(self, number: int) -> None:
        """Drop the tiles before this one."""
        at = bisect_left(self._numbers, number)
        del self._numbers[:at], self._sizes[:at], self._totals[:at]

    def pack(self, *, first: int, newest: int) -> bytes:
        """Write the tiles from ``first`` on, numbered backwards from ``newest``."""
        at = bisect_left(self._numbers, first)
        tiles = list(self._sizes_and_totals(at))
        return (
            pack_ints([newest - number for number in self._numbers[at:]])
            + pack_ints([size for size, _ in tiles])
            + pack_ints([total for _, total in tiles])
        )

    def unpack(self, reader: StateReader, *, newest: int) -> None:
        """Read what :meth:`pack` wrote into this empty grid."""
        backs, sizes, totals = reader.ints(), reader.ints(), reader.ints()
        runs = [
            Run(newest - back, size, total)
            for back, size, total in zip(backs, sizes, totals, strict=True)
        ]
        if runs:
            self.add(runs)

    def _sizes_and_totals(self, at: int) -> Iterator[tuple[int, int]]:
        """Give size and total of each tile from a position on."""
        for size, total in zip(
            pairwise(self._sizes[at:]), pairwise(self._totals[at:]), strict=True
        ):
            yield size[1] - size[0], total[1] - total[0]
