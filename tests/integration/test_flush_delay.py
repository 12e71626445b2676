"""How long the velocity job lets a batch wait, by what the batches before had."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.settings import Settings
from tests.java_program import printed

PROGRAM = Path(__file__).with_name("FlushDelays.java")


def waits_ms(delay_ms: int, idle_delay_ms: int, batches: list[int]) -> list[tuple[float, float]]:
    """For each batch its wait when the input pauses, and when more is at hand."""
    numbers = map(str, (delay_ms, idle_delay_ms, *batches))
    lines = [line.split() for line in printed(PROGRAM, *numbers)]
    return [(float(idle), float(busy)) for idle, busy in lines]


def test_a_batch_waits_by_load_and_never_where_events_come_one_by_one() -> None:
    waits = waits_ms(5, 5, [1] * 10 + [3] * 10 + [16] * 20 + [512] * 10 + [1] * 40)
    idle_ms = [idle for idle, _ in waits]
    assert {busy for _, busy in waits} == {5}
    assert set(idle_ms[:11]) == {0}
    assert idle_ms[18:20] == [1.5, 1.5]
    assert idle_ms[38:40] == [pytest.approx(2.5, abs=0.1)] * 2
    assert idle_ms[45:50] == [5] * 5
    assert idle_ms[-1] == 0


def test_the_wait_is_the_one_that_the_setting_describes() -> None:
    described = str(Settings.model_fields["batching_delay_ms"].description)
    found = re.search(r"all of it in batches of (\d+), ([\d.]+) ms in small ones", described)
    assert found is not None
    waits = waits_ms(5, 5, [1] * 10 + [2] * 20 + [int(found[1])] * 40)
    assert waits[9][0] == 0
    assert waits[29][0] == float(found[2])
    assert waits[-1][0] == pytest.approx(5, abs=0.01)


def test_a_wait_is_never_longer_than_the_delay() -> None:
    assert {idle for idle, _ in waits_ms(0, 0, [8] * 10)} == {0}
    assert {idle for idle, _ in waits_ms(1, 1, [8] * 10)} == {0, 1}


def test_an_operator_without_idle_delay_waits_only_while_more_is_at_hand() -> None:
    assert waits_ms(5, 0, [512] * 3) == [(0, 5)] * 3
