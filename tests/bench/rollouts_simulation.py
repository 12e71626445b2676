"""Runs the controller's own judgement on simulated traffic, one rollout at a time.

A day is a batch; within it the guards look after every event. Decisions are counted at once, their
losses 30 days later, at the shares of the day on which they were made.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from operations.rollouts.batches import DecisionBatch, MatureBatch
from operations.rollouts.judge.judgement import judge
from operations.rollouts.judge.verdict import after
from operations.rollouts.state import RolloutState
from schemas.rollout import Arm, Plan, Rollout, Strategy
from tests.bench.rollouts_world import DAY_MS, MATURITY_DAYS, Model, Traffic, World, moments
from tests.rollout_builders import arms, rollout

NEVER = 10**12
_Z_ALPHA, _Z_POWER = 1.6449, 0.8416
_Z_ALPHA_TWO_SIDED = 1.9600


@dataclass
class Outcome:
    """What became of one simulated rollout.

    Attributes:
        action: the last verdict's action or recommendation; "none" if nothing came of it.
        reason: of that verdict.
        mature: decisions with mature labels when it came.
        fixed: decisions that a fixed test needs at the same shares; 0 if that was not reached.
        events: decisions and mature labels counted.
        cpu_s: CPU time of counting and judging them.
        stages: days at each stage, for tests.
    """

    action: str = "none"
    reason: str = ""
    mature: int = 0
    fixed: int = 0
    events: int = 0
    cpu_s: float = 0.0
    stages: list[int] = field(default_factory=list)


class FixedSample:
    """Counts the decisions that a fixed z-test needs for power 80 %, at the shares as they were.

    With the true moments of both models, and the inverse variance of each event's share.
    """

    def __init__(self, control: Model, challenger: Model, *, z_alpha: float) -> None:
        mean_0, self._variance_0 = moments(control)
        mean_1, self._variance_1 = moments(challenger)
        gap = mean_1 - mean_0
        self._needed = ((z_alpha + _Z_POWER) / gap) ** 2 if gap else float("inf")
        self._weight = self._variance = 0.0
        self._events = 0
        self.found = 0

    def add(self, p: float, events: int) -> None:
        """Add events with the challenger's share p."""
        if self.found or not 0.0 < p < 1.0:
            self._events += events
            return
        weight = p * (1 - p)
        variance = weight * ((1 - p) * self._variance_1 + p * self._variance_0)
        self._weight += events * weight
        self._variance += events * variance
        self._events += events
        if self._weight**2 / self._variance >= self._needed:
            self.found = self._events


def canary(
    traffic: Traffic, challenger: Model, *, seed: int, days: int, held_until: int
) -> Outcome:
    """One canary, two days a stage, held at half of the traffic until labels are mature.

    Args:
        traffic: what passes.
        challenger: the new model.
        seed: of the traffic.
        days: after these it ends as it is.
        held_until: decisions of each arm with mature labels before the challenger gets more.
    """
    plan = Plan(
        stage_ms_min=2 * DAY_MS,
        stage_decisions_min=20,
        matured_decisions_min=held_until,
        label_silence_ms_max=0,
    )
    return _run(rollout("canary", plan=plan), traffic, challenger, seed=seed, days=days, z=_Z_ALPHA)


def ab_test(
    traffic: Traffic, challenger: Model, *, seed: int, days: int, planned: int = 0
) -> Outcome:
    """One A/B test, half and half, over at the first winner."""
    plan = Plan(matured_decisions_min=200, label_silence_ms_max=0, planned_decisions=planned)
    return _run(
        rollout("ab", plan=plan), traffic, challenger, seed=seed, days=days, z=_Z_ALPHA_TWO_SIDED
    )


def _run(
    started: Rollout, traffic: Traffic, challenger: Model, *, seed: int, days: int, z: float
) -> Outcome:
    world = World(traffic, [Model(), challenger], seed=seed)
    fixed = FixedSample(Model(), challenger, z_alpha=z)
    state, now, outcome = RolloutState(started), started, Outcome()
    waiting: deque[MatureBatch] = deque()
    for day in range(days):
        decisions, losses = world.day(now, day)
        waiting.append(losses)
        mature = waiting.popleft() if len(waiting) > MATURITY_DAYS else None
        if mature is not None:
            fixed.add(float(mature.shares[1, 0]), len(mature))
        changed = _judged_day(now, state, (decisions, mature), day=day, outcome=outcome)
        if outcome.action in ("roll_back", "promote", "keep", "complete", "pause"):
            break
        now = changed or now
        outcome.stages.append(now.stage)
    outcome.mature = state.mature_decisions
    while not fixed.found and fixed._needed < float("inf"):
        fixed.add(0.5, traffic.events_per_day)
    outcome.fixed = fixed.found
    return outcome


def _judged_day(
    now: Rollout,
    state: RolloutState,
    batches: tuple[DecisionBatch, MatureBatch | None],
    *,
    day: int,
    outcome: Outcome,
) -> Rollout | None:
    decisions, mature = batches
    began_s = time.thread_time()
    state.update(decisions)
    if mature is not None:
        state.update_mature(mature)
        outcome.events += len(mature)
    outcome.cpu_s += time.thread_time() - began_s
    outcome.events += len(decisions)
    now_ms = now.started_at_ms + (day + 1) * DAY_MS
    verdict = judge(now, state, now_ms=now_ms)
    outcome.action = verdict.recommendation or verdict.action
    if verdict.action in ("roll_back", "pause"):
        outcome.action = verdict.action
    outcome.reason = verdict.reason
    return after(now, verdict, now_ms=now_ms)


def bandit(
    models: list[Model], *, seed: int, days: int, events_per_day: int
) -> tuple[list[float], list[float]]:
    """One bandit: regret after each day, of its shares and of equal shares, in units of loss."""
    names = ["control", *(f"arm-{number}" for number in range(1, len(models)))]
    share_bp, rest_bp = divmod(10_000, len(models))
    started = rollout(
        "bandit",
        arms=tuple(
            Arm(name, str(number), share_bp + (rest_bp if number == 0 else 0))
            for number, name in enumerate(names)
        ),
        plan=Plan(reallocation_ms_min=DAY_MS, label_silence_ms_max=0),
    )
    traffic = Traffic(events_per_day=events_per_day, is_sticky=False)
    world = World(traffic, models, seed=seed)
    means = np.array([moments(model)[0] for model in models])
    gaps = means - means.min()
    state, now = RolloutState(started), started
    waiting: deque[MatureBatch] = deque()
    regret, equal = [0.0], [0.0]
    for day in range(days):
        shares = np.array([arm.share_bp / 10_000 for arm in now.arms])
        regret.append(regret[-1] + events_per_day * float(shares @ gaps))
        equal.append(equal[-1] + events_per_day * float(gaps.mean()))
        decisions, losses = world.day(now, day)
        waiting.append(losses)
        mature = waiting.popleft() if len(waiting) > MATURITY_DAYS else None
        done = Outcome()
        now = _judged_day(now, state, (decisions, mature), day=day, outcome=done) or now
    return regret, equal


def cpu_us_per_event(strategy: Strategy, *, events: int, batch: int) -> float:
    """CPU time of counting one decision and its mature label, all guards together, us.

    Args:
        strategy: of the rollout; a canary has the most guards.
        events: decisions, and as many labels.
        batch: events in a batch.
    """
    share = {"canary": (9_500, 500), "ab": (5_000, 5_000), "bandit": (5_000, 5_000)}[strategy]
    started = rollout(strategy, arms=arms(*share))
    world = World(Traffic(events_per_day=batch), [Model(), Model()], seed=1)
    days = [world.day(started, day) for day in range(20)]
    state = RolloutState(started)
    cpu_s = 0.0
    for number in range(events // batch):
        decisions, mature = days[number % len(days)]
        began_s = time.thread_time()
        state.update(decisions)
        state.update_mature(mature)
        cpu_s += time.thread_time() - began_s
    return 1e6 * cpu_s / (events // batch * batch)
