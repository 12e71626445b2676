"""One rollout with its traffic and its controller, which a test turns step by step and kills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from operations.rollouts.controller.changes import FollowedChanges
from operations.rollouts.controller.follow import RolloutController
from operations.rollouts.controller.topics import ControllerTopics
from schemas.rollout import Plan, Rollout, RolloutChange
from schemas.rollout_state import RolloutReading
from schemas.settings import Settings
from scoring.core.rollout_changes import Author, Start, started
from scoring.stores.rollout_log import RolloutLog
from scoring.stores.rollout_state import RolloutStateLog
from tests.rollout_steps import author
from tests.rollout_traffic import RolloutTraffic, until

DAY_MS = 86_400_000
READ_S = 0.2
"""A step waits so long for decisions, which a test has written before it."""
PLAN = Plan(
    stages_bp=(1_000, 5_000, 10_000),
    stage_ms_min=1_000,
    stage_decisions_min=50,
    matured_decisions_min=0,
    label_maturity_ms=60_000,
    label_silence_ms_max=0,
)


class KilledError(Exception):
    """The process has ended here."""


@dataclass
class ControlledRollout:
    """One model with its rollout, its traffic and its controller."""

    bootstrap: str
    topics: ControllerTopics
    settings: Settings
    rollout_id: str
    traffic: RolloutTraffic
    controller: RolloutController | None = None
    changes: FollowedChanges | None = None
    kills: int = 0
    authors: int = 0
    kill_at: Callable[[RolloutController], None] = field(default=lambda _: None)

    def start(self, strategy: Any = "canary", plan: Plan = PLAN, **more: Any) -> Rollout:
        asked = Start(
            rollout_id=self.rollout_id,
            strategy=strategy,
            challengers=more.pop("challengers", {"challenger": "2"}),
            plan=plan,
            **more,
        )
        change = started(asked, self.author(), model_name=self.settings.model_name, control="1")
        self.log.write(change)
        return change.rollout

    def author(self) -> Author:
        self.authors += 1
        change = author(now_ms=self.traffic.now_ms)
        return replace(change, change_id=f"{self.rollout_id}-{self.authors}")

    @property
    def log(self) -> RolloutLog:
        return RolloutLog(self.bootstrap, source="/test", topic=self.topics.rollouts)

    def history(self) -> list[RolloutChange]:
        return self.log.read().changes(self.rollout_id)

    @property
    def rollout(self) -> Rollout:
        """As the controller sees it; as the log has it after a kill."""
        seen = self.changes.newest(self.rollout_id) if self.changes is not None else None
        return self.history()[-1].rollout if seen is None else seen.rollout

    @property
    def reading(self) -> RolloutReading:
        log = RolloutStateLog(self.bootstrap, topic=self.topics.rollout_state)
        found = log.reading(self.rollout_id)
        assert found is not None
        return found

    def counts(self) -> dict[str, int]:
        return {arm.name: arm.decisions for arm in self.reading.arms}

    def matures(self) -> dict[str, int]:
        return {arm.name: arm.mature_decisions for arm in self.reading.arms}

    def step(self) -> None:
        """One turn of the controller; a new one if the last was killed."""
        if self.controller is None:
            self.controller = RolloutController(
                self.settings,
                topics=self.topics,
                now_ms=lambda: self.traffic.now_ms,
                read_s=READ_S,
            )
            self.changes = FollowedChanges(self.bootstrap, self.topics.rollouts)
            self.kill_at(self.controller)
        assert self.changes is not None
        try:
            self.changes.read(0.0)
            self.controller.step(self.changes)
        except KilledError:
            self.kill()

    def kill(self) -> None:
        """Nothing of the process is left but what it has written."""
        if self.controller is not None:
            self.controller._leave()
            self.kills += 1
        if self.changes is not None:
            self.changes.__exit__(None, None, None)
        self.controller = self.changes = None

    def settle(self) -> None:
        """Let the controller count and store everything that was decided."""
        wanted = Counter(decision.arm for decision in self.traffic.decisions)

        def is_stored() -> bool:
            run = self.controller._run if self.controller is not None else None
            if run is None or run.has_news or not run.stored_at_ms:
                return False
            totals = run.counting.state.totals
            return all(each.decisions == wanted[name] for name, each in totals.items())

        def seen() -> object:
            run = self.controller._run if self.controller is not None else None
            changes = [(each.rollout.status, each.reason) for each in self.history()]
            return None if run is None else run.counting.snapshot(), wanted, changes

        until(is_stored, self.pass_a_second, seen=seen)

    def pass_a_second(self) -> None:
        self.traffic.now_ms += 1_000
        self.step()


def fail_once(owner: Any, *, calls: int, is_done: bool) -> None:
    """A later call of ``write`` ends the process, before or after it has done its work."""
    write = owner.write
    done = count(1)

    def killing(*args: Any) -> None:
        is_last = next(done) == calls
        if is_done or not is_last:
            write(*args)
        if is_last:
            raise KilledError

    owner.write = killing


def killed_everywhere() -> Callable[[RolloutController], None]:
    """Kill each controller at another place: around a snapshot, around a change."""
    places = iter(
        [
            lambda killed: fail_once(killed._snapshots, calls=2, is_done=False),
            lambda killed: fail_once(killed._actor._log, calls=1, is_done=False),
            lambda killed: fail_once(killed._snapshots, calls=2, is_done=True),
            lambda killed: fail_once(killed._actor._log, calls=1, is_done=True),
        ]
    )

    def kill_at(controller: RolloutController) -> None:
        place = next(places, None)
        if place is not None:
            place(controller)

    return kill_at
