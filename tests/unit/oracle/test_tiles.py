"""A grid of tiles against a plain dictionary."""

from __future__ import annotations

from itertools import starmap

from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.state_bytes import Form, Header, StateReader, pack_header
from tests.oracle.tiles import Run, TileGrid

additions = st.lists(st.tuples(st.integers(-5, 20), st.integers(1, 3), st.integers(0, 2**70)))


def grid_of(added: list[tuple[int, int, int]]) -> TileGrid:
    """Add in pieces that are in order, as folded events are."""
    grid = TileGrid(1_000)
    piece: list[Run] = []
    for run in starmap(Run, added):
        if piece and run.number <= piece[-1].number:
            grid.add(piece)
            piece = []
        piece.append(run)
    if piece:
        grid.add(piece)
    return grid


def expected(added: list[tuple[int, int, int]], number: int) -> tuple[bool, int, int]:
    later = [(count, total) for at, count, total in added if at >= number]
    return (
        any(at == number for at, _, _ in added),
        sum(c for c, _ in later),
        sum(t for _, t in later),
    )


@given(additions)
def test_a_tail_is_what_was_added_in_any_order(added: list[tuple[int, int, int]]) -> None:
    grid = grid_of(added)
    for number in range(-6, 22):
        assert grid.since(number) == expected(added, number)


@given(additions, st.integers(-6, 21))
def test_what_is_dropped_or_written_leaves_the_rest_as_it_was(
    added: list[tuple[int, int, int]], oldest: int
) -> None:
    grid = grid_of(added)
    header = pack_header(Header(b"u", Form.DURABLE, 0, 0))
    again = TileGrid(1_000)
    with StateReader(header + grid.pack(first=oldest, newest=21), kind=b"u") as reader:
        again.unpack(reader, newest=21)
    grid.drop_before(oldest)
    kept = [addition for addition in added if addition[0] >= oldest]
    for number in range(-6, 22):
        assert grid.since(number) == again.since(number) == expected(kept, number)


def test_a_tile_whose_events_are_all_taken_away_is_gone() -> None:
    grid = grid_of([(1, 1, 0), (2, 2, 0), (3, 1, 0)])
    grid.add([Run(2, -2, 0)])
    assert grid.since(2) == (False, 1, 0)
    assert grid.since(1) == (True, 2, 0)
