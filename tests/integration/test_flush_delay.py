"""How long the velocity job lets a batch wait, by what the batches before had."""

from __future__ import annotations

from pathlib import Path

from tests.java_program import printed

PROGRAM = Path(__file__).with_name("FlushDelays.java")


def waits_ms(delay_ms: int, idle_delay_ms: int, batches: list[int]) -> list[tuple[int, int]]:
    """For each batch its wait when the input pauses, and when more is at hand."""
    numbers = map(str, (delay_ms, idle_delay_ms, *batches))
    lines = [line.split() for line in printed(PROGRAM, *numbers)]
    return [(int(idle), int(busy)) for idle, busy in lines]


def test_a_batch_waits_by_load_and_never_where_batches_are_small() -> None:
    waits = waits_ms(5, 5, [3] * 10 + [16] * 10 + [512] * 10 + [1] * 30)
    idle_ms = [idle for idle, _ in waits]
    assert {busy for _, busy in waits} == {5}
    assert set(idle_ms[:11]) == {0}
    assert idle_ms[18:20] == [2, 2]
    assert idle_ms[25:30] == [5] * 5
    assert idle_ms[-1] == 0


def test_an_operator_without_idle_delay_waits_only_while_more_is_at_hand() -> None:
    assert waits_ms(5, 0, [512] * 3) == [(0, 5)] * 3
