from collections.abc import Callable
from dataclasses import replace

import pytest

from infra.simulation.live_run import SERVING_MS_MAX, WARM_UP_MS, LiveRun, NotServedError
from infra.simulation.run_tracker import RunTracker
from schemas.decision import ModelRef
from tests.builders import DECISION, NOW_MS

RUN = "d1-x"


class SteppingClock:
    """Each sleep passes its time and lets the system do one step."""

    def __init__(self, step: Callable[[], None]) -> None:
        self.time_ms = NOW_MS
        self._step = step

    def now_ms(self) -> int:
        return self.time_ms

    def wait_until(self, due_ms: float) -> bool:
        return self.sleep(due_ms - self.time_ms)

    def sleep(self, duration_ms: float) -> bool:
        self.time_ms += int(duration_ms)
        self._step()
        return True


class System:
    """Sends fifty transactions a step; decides all but the newest of them by its version."""

    def __init__(self, *, version: str, leaves: int = 0) -> None:
        self.tracker = RunTracker(RUN)
        self.version = version
        self.leaves = leaves
        self.sent = 0
        self.decided = 0
        self.clock = SteppingClock(self.step)

    def step(self) -> None:
        for _ in range(50):
            self.tracker.produced(f"{RUN}-{self.sent:08d}", due_ms=self.clock.now_ms())
            self.sent += 1
        while self.decided < self.sent - self.leaves:
            decision = replace(
                DECISION,
                transaction_id=f"{RUN}-{self.decided:08d}",
                model=ModelRef("weir-fraud", self.version, "d"),
            )
            self.tracker.decided(decision, received_ms=self.clock.now_ms() + 5.0)
            self.decided += 1

    def warm_up(self, version: str, *, at_least_ms: int = WARM_UP_MS) -> int:
        """How long the warm-up takes, ms."""
        run = LiveRun(
            self.tracker,
            bootstrap="",
            version=version,
            duration_ms=None,
            warm_up_ms=at_least_ms,
        )
        assert run._warm_up(self.clock, lambda _: None)
        return self.clock.now_ms() - NOW_MS


def test_the_warm_up_takes_its_time_even_when_all_is_well() -> None:
    assert WARM_UP_MS <= System(version="3").warm_up("3") <= WARM_UP_MS + 1_000


def test_a_warm_up_may_be_longer_than_the_scorer_may_take() -> None:
    longer_ms = SERVING_MS_MAX + 60_000
    taken_ms = System(version="3").warm_up("3", at_least_ms=longer_ms)
    assert longer_ms <= taken_ms <= longer_ms + 1_000


def test_only_what_is_due_after_the_warm_up_is_measured() -> None:
    system = System(version="3")
    system.warm_up("3")
    assert system.tracker.summary(feature_mismatches=0).p50_ms is None
    system.clock.sleep(250)
    assert system.tracker.summary(feature_mismatches=0).p50_ms == 5.0


def test_the_warm_up_goes_on_until_the_champion_decides() -> None:
    system = System(version="2")
    step = system.step

    def swap_later() -> None:
        if system.clock.now_ms() >= NOW_MS + 40_000:
            system.version = "3"
        step()

    system.clock._step = swap_later
    assert 40_000 <= system.warm_up("3") <= 41_000


def test_a_scorer_that_never_serves_the_champion_is_an_error_with_both_versions() -> None:
    with pytest.raises(NotServedError, match=r"version 2 decides, expected 3; see `weir status`"):
        System(version="2").warm_up("3")


def test_a_scorer_that_does_not_keep_up_is_an_error() -> None:
    system = System(version="3", leaves=10**9)
    with pytest.raises(NotServedError, match=f"after {SERVING_MS_MAX // 1_000} s"):
        system.warm_up("3")
