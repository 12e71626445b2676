from collections.abc import Callable

import pytest

from operations.schedule import RETRIES_MAX, RETRY_MS, run_every
from schemas.errors import RetryableError, WeirError

EVERY_MS = 3_600_000
START_MS = 17


class Log:
    """A clock that only sleeping and working turn, and what was said; ends at a time."""

    def __init__(self, *, end_ms: int) -> None:
        self.time_ms = START_MS
        self.done_at_ms: list[int] = []
        self.said: list[str] = []
        self._end_ms = end_ms

    def now_ms(self) -> int:
        return self.time_ms

    def wait_until(self, due_ms: float) -> bool:
        return self.sleep(due_ms - self.time_ms)

    def sleep(self, duration_ms: float) -> bool:
        self.time_ms += round(duration_ms)
        return self.time_ms < START_MS + self._end_ms

    def run(self, work: Callable[[int], int]) -> None:
        """Run a task that takes as long as `work` of its number says, or fails."""

        def task() -> None:
            self.done_at_ms.append(self.time_ms - START_MS)
            self.time_ms += work(len(self.done_at_ms))

        run_every(task, every_ms=EVERY_MS, clock=self, report=self.said.append)


def test_it_is_done_now_and_then_at_fixed_times_however_long_it_takes() -> None:
    log = Log(end_ms=4 * EVERY_MS)
    log.run(lambda number: 1_000 * number)
    assert log.done_at_ms == [0, EVERY_MS, 2 * EVERY_MS, 3 * EVERY_MS]
    assert log.said == []


def test_a_time_that_passes_while_it_works_is_left_out() -> None:
    log = Log(end_ms=4 * EVERY_MS)
    log.run(lambda number: EVERY_MS + 1 if number == 1 else 1)
    assert log.done_at_ms == [0, 2 * EVERY_MS, 3 * EVERY_MS]


def test_a_world_that_is_slow_is_tried_again_after_pauses_that_double() -> None:
    def fails_twice(number: int) -> int:
        if number <= 2:
            raise RetryableError("MLflow is away")
        return 1

    log = Log(end_ms=2 * EVERY_MS)
    log.run(fails_twice)
    assert log.done_at_ms == [0, RETRY_MS, 3 * RETRY_MS, EVERY_MS]
    assert log.said == ["MLflow is away; again in 60 s", "MLflow is away; again in 120 s"]


def test_retries_are_bounded_and_the_next_time_begins_anew() -> None:
    def fails(number: int) -> int:
        raise RetryableError("MLflow is away")

    log = Log(end_ms=2 * EVERY_MS)
    log.run(fails)
    assert len(log.done_at_ms) == 2 * (RETRIES_MAX + 1)
    assert log.done_at_ms[RETRIES_MAX + 1] == EVERY_MS
    assert sum("given up until next time" in said for said in log.said) == 2


def test_what_only_more_events_can_mend_waits_for_the_next_time() -> None:
    def fails_once(number: int) -> int:
        if number == 1:
            raise WeirError("no fraud is known")
        return 1

    log = Log(end_ms=2 * EVERY_MS)
    log.run(fails_once)
    assert log.done_at_ms == [0, EVERY_MS]
    assert log.said == ["nothing until next time: no fraud is known"]


def test_a_bug_ends_it() -> None:
    with pytest.raises(ZeroDivisionError):
        Log(end_ms=EVERY_MS).run(lambda number: 1 // 0)


def test_an_interrupted_pause_between_retries_ends_it() -> None:
    def fails(number: int) -> int:
        raise RetryableError("MLflow is away")

    log = Log(end_ms=1)
    log.run(fails)
    assert log.done_at_ms == [0]
