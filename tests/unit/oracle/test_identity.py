"""The memory of transaction ids: what it forgets, and that it stays small."""

from __future__ import annotations

from features.definitions import DAY_MS, HOUR_MS
from tests.oracle.identity import Content, IdMemory
from tests.unit.features.engine.streams_of_events import START


def said(event_time_ms: int) -> Content:
    return Content(event_time_ms, "m", 5, ("EUR", None, "DE"))


def test_memory_holds_a_day_of_ids_and_no_more() -> None:
    memory = IdMemory()
    for n in range(500):
        memory.add(f"tx-{n}", said(START + n * HOUR_MS), newest_ms=START + n * HOUR_MS)
    assert len(memory._contents) == 25


def test_late_ids_leave_with_the_others() -> None:
    memory = IdMemory()
    memory.add("new", said(START), newest_ms=START)
    memory.add("late", said(START - DAY_MS), newest_ms=START)
    assert memory.first("late") == said(START - DAY_MS)
    memory.add("next", said(START + DAY_MS + 1), newest_ms=START + DAY_MS + 1)
    assert memory.first("late") is None
    assert not memory._newest_ms_of_late


def test_past_the_cap_the_oldest_goes_even_when_all_are_late() -> None:
    memory = IdMemory(ids_max=2)
    for n in range(4):
        memory.add(f"tx-{n}", said(START - n), newest_ms=START)
    assert [memory.first(f"tx-{n}") for n in range(4)] == [
        None,
        None,
        said(START - 2),
        said(START - 3),
    ]
    assert len(memory._newest_ms_of_late) == 2
