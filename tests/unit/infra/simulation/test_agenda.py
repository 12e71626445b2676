import numpy as np

from infra.simulation.agenda import Agenda
from infra.simulation.purchases import Purchases


def purchases(times_ms: list[int]) -> Purchases:
    column = np.asarray(times_ms, dtype=np.int64)
    return Purchases(column, *([column] * 6))


def test_what_is_planned_is_taken_once_when_its_time_has_come_earliest_first() -> None:
    agenda = Agenda()
    agenda.plan(purchases([500, 100, 10**9, 300]))
    assert agenda.take_before(400).times_ms.tolist() == [100, 300]
    assert agenda.take_before(400).times_ms.tolist() == []
    assert agenda.take_before(501).times_ms.tolist() == [500]
    assert agenda.take_before(10**9).times_ms.tolist() == []
    assert agenda.take_before(10**9 + 1).times_ms.tolist() == [10**9]


def test_what_is_beyond_the_number_asked_for_waits() -> None:
    agenda = Agenda()
    agenda.plan(purchases([3, 1, 2]))
    assert agenda.take_before(10, count_max=2).times_ms.tolist() == [1, 2]
    assert agenda.take_before(10, count_max=2).times_ms.tolist() == [3]


def test_what_is_planned_near_after_a_look_is_found() -> None:
    agenda = Agenda()
    agenda.take_before(1_000)
    agenda.plan(purchases([1_500, 900_000]))
    assert agenda.take_before(2_000).times_ms.tolist() == [1_500]
    assert agenda.take_before(900_001).times_ms.tolist() == [900_000]


def test_what_is_dropped_does_not_come_back() -> None:
    agenda = Agenda()
    agenda.plan(purchases([1, 2, 3]))
    agenda.drop_before(3)
    assert agenda.take_before(10).times_ms.tolist() == [3]
