"""The loop of the controller: follow the rollouts, count the active one, judge it, act, store.

::

    rollouts ──▶ which is active ──▶ decisions, decisions again, labels ──▶ state ──▶ judge
        ▲                                                                     │        │
        │                                                      rollout-state ◀┘        │
        └──────────────────── the next revision, with its reason ◀─────────────────────┘

While no rollout is active, nothing but ``rollouts`` is read.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server

from clients.mlflow_rest import MlflowRest
from operations.rollouts.controller.acting import Actor
from operations.rollouts.controller.changes import FollowedChanges
from operations.rollouts.controller.counting import READ_S, RolloutCounting
from operations.rollouts.controller.metrics import ControllerMetrics, build_controller_metrics
from operations.rollouts.controller.reading import Trouble, reading_of
from operations.rollouts.controller.topics import ControllerTopics
from operations.rollouts.judge.judgement import judge
from operations.rollouts.judge.verdict import Verdict
from schemas.errors import RetryableError
from schemas.rollout import Rollout
from schemas.rollout_state import RolloutSnapshot
from schemas.settings import Settings
from schemas.transaction import Limits
from scoring.stores.rollout_commands import RolloutCommands
from scoring.stores.rollout_log import RolloutLog
from scoring.stores.rollout_state import RolloutStateLog
from scoring.stores.rollout_versions import RolloutVersions
from scoring.wiring import wall_clock_ms

logger = logging.getLogger(__name__)

SOURCE: Final = "/weir/rollout-controller"
IDLE_S: Final = 1.0
"""Longest wait for a change while no rollout is active, s."""
SNAPSHOT_MS: Final = 1_000
"""Time between two snapshots while decisions come, ms."""
HEARTBEAT_MS: Final = 10_000
"""The same while none come: a snapshot also shows that the controller runs."""
RETRY_S: Final = 2.0
"""Time between two attempts to reach Kafka, s."""


class RolloutController:
    """Counts, judges and moves the active rollout of one model.

    Delivery: state and offsets are stored in one record, so a decision counts once, whenever the
    process ends. Of two controllers, or a controller and a person, one writes a revision; a state
    of either is right.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        metrics: ControllerMetrics | None = None,
        topics: ControllerTopics | None = None,
        now_ms: Callable[[], int] = wall_clock_ms,
        read_s: float = READ_S,
    ) -> None:
        """Point at the services; nothing is asked before `run`.

        Args:
            settings: of the deployment.
            metrics: to fill; some that no one sees if it is None.
            topics: to read and write.
            now_ms: the clock, ms since 1970 UTC.
            read_s: longest wait of a `step` for decisions, s.
        """
        self._settings = settings
        self._bootstrap = settings.kafka_bootstrap
        self._metrics = metrics or build_controller_metrics(CollectorRegistry())
        self._topics = topics or ControllerTopics()
        self._now_ms = now_ms
        self._read_s = read_s
        self._snapshots = RolloutStateLog(self._bootstrap, topic=self._topics.rollout_state)
        log = RolloutLog(self._bootstrap, source=SOURCE, topic=self._topics.rollouts)
        self._actor = Actor(
            settings,
            _commands(settings, log),
            log,
            new_id=lambda: uuid.uuid4().hex,
        )
        self._run: _Run | None = None

    def run(self, stop: threading.Event) -> None:
        """Follow the rollouts until ``stop`` is set, from the newest snapshots on.

        Raises:
            KafkaUnreachableError: Kafka was lost; call it again.
        """
        try:
            with FollowedChanges(self._bootstrap, self._topics.rollouts) as changes:
                while not stop.is_set():
                    changes.read(0 if self._run is not None else IDLE_S)
                    self.step(changes)
        finally:
            self._leave()

    def step(self, changes: FollowedChanges) -> None:
        """Count what is new of the active rollout, judge it, act, and store the counts.

        Raises:
            KafkaUnreachableError: Kafka was lost.
        """
        active = changes.active(self._settings.model_name)
        run = self._run
        if run is not None and (active is None or active.rollout.rollout_id != run.rollout_id):
            ended = changes.newest(run.rollout_id)
            if ended is not None:
                last = run.verdict or Verdict("go_on", "")
                self._store(run, ended.rollout, replace(last, reason=ended.reason))
            self._leave()
        asked = changes.asked_back(self._settings.model_name)
        if asked is not None:
            written = self._actor.written
            self._actor.take_back(asked.rollout, now_ms=self._now_ms())
            self._metrics.changes.labels("take_back").inc(self._actor.written - written)
        if active is None:
            return
        if self._run is None:
            self._run = self._opened(active.rollout, changes)
        self._advance(self._run, active.rollout)

    def _advance(self, run: _Run, rollout: Rollout) -> None:
        now_ms = self._now_ms()
        counted = run.counting.step(now_ms=now_ms)
        run.has_news = run.has_news or counted > 0
        if rollout.revision < run.revision_min or not run.counting.is_ready:
            # Our own change has not come back yet, or silence cannot be told from what is unread.
            return
        verdict = judge(rollout, run.counting.state, now_ms=now_ms)
        run.verdict = verdict
        age_ms = now_ms - run.stored_at_ms
        if age_ms >= (SNAPSHOT_MS if run.has_news else HEARTBEAT_MS) or verdict.action != "go_on":
            self._store(run, rollout, verdict)
        if self._act(run, rollout, verdict, now_ms):
            run.revision_min = rollout.revision + 1

    def _act(self, run: _Run, rollout: Rollout, verdict: Verdict, now_ms: int) -> bool:
        written = self._actor.written
        if run.counting.has_too_many_labels and rollout.status == "running":
            action = "pause"
            is_changed = self._actor.pause_for_labels(rollout, now_ms=now_ms)
        else:
            action = verdict.action
            is_changed = self._actor.act(rollout, verdict, now_ms=now_ms)
        self._metrics.changes.labels(action).inc(self._actor.written - written)
        return is_changed

    def _opened(self, rollout: Rollout, changes: FollowedChanges) -> _Run:
        found = self._snapshots.newest(rollout.rollout_id)
        if found is not None:
            try:
                counting = self._counting(rollout, changes, found)
            except (KeyError, TypeError, ValueError) as error:
                logger.warning(
                    "the snapshot of rollout %s is of another version of the controller (%r)",
                    rollout.rollout_id,
                    error,
                )
            else:
                logger.info("rollout %s: counting goes on", rollout.rollout_id)
                return _Run(rollout.rollout_id, counting)
        logger.info("rollout %s is counted from its start", rollout.rollout_id)
        return _Run(rollout.rollout_id, self._counting(rollout, changes, None))

    def _counting(
        self, rollout: Rollout, changes: FollowedChanges, found: RolloutSnapshot | None
    ) -> RolloutCounting:
        return RolloutCounting(
            self._bootstrap,
            rollout,
            revision=lambda revision: changes.at(rollout.rollout_id, revision),
            limits=Limits.from_settings(self._settings),
            labels_max=self._settings.rollout_labels_max,
            positions=None if found is None else found.positions,
            state=None if found is None else found.state,
            topics=self._topics,
            read_s=self._read_s,
        )

    def _store(self, run: _Run, rollout: Rollout, verdict: Verdict) -> None:
        counting, now_ms = run.counting, self._now_ms()
        positions, state = counting.snapshot()
        trouble = Trouble(
            deleted=counting.deleted,
            unreadable=counting.unreadable,
            has_too_many_labels=counting.has_too_many_labels,
            promotion=self._actor.waits_for,
        )
        reading = reading_of(
            rollout,
            counting.state,
            verdict,
            now_ms=now_ms,
            latest_decision_ms=counting.latest_decision_ms,
            trouble=trouble,
        )
        self._snapshots.write(RolloutSnapshot(reading, positions, state))
        run.stored_at_ms, run.has_news = now_ms, False
        for arm in reading.arms:
            labels = (run.rollout_id, arm.name)
            self._metrics.decisions.labels(*labels).set(arm.decisions)
            self._metrics.mature_decisions.labels(*labels).set(arm.mature_decisions)
        self._metrics.labels_kept.set(counting.labels_kept)
        self._metrics.uncounted.set(counting.deleted + counting.unreadable)

    def _leave(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.counting.close()


class _Run:
    """The rollout that is counted.

    Attributes:
        revision_min: earlier revisions are no longer judged.
        stored_at_ms: when the newest snapshot was written.
        has_news: whether decisions were counted since then.
        verdict: the newest.
    """

    def __init__(self, rollout_id: str, counting: RolloutCounting) -> None:
        self.rollout_id = rollout_id
        self.counting = counting
        self.revision_min = 0
        self.stored_at_ms = 0
        self.has_news = False
        self.verdict: Verdict | None = None


def _commands(settings: Settings, log: RolloutLog) -> RolloutCommands:
    versions = RolloutVersions(
        MlflowRest(settings.mlflow_tracking_uri),
        model_name=settings.model_name,
        champion_alias=settings.champion_alias,
    )
    return RolloutCommands(
        log,
        versions,
        model_name=settings.model_name,
        now_ms=wall_clock_ms,
        new_id=lambda: uuid.uuid4().hex,
    )


def follow(settings: Settings, stop: threading.Event) -> None:
    """Control the rollouts until ``stop`` is set.

    On failure: if Kafka does not answer, it begins again from the newest snapshot after `RETRY_S`.
    """
    registry = CollectorRegistry()
    metrics = build_controller_metrics(registry)
    if settings.rollout_metrics_port:
        start_http_server(settings.rollout_metrics_port, addr="127.0.0.1", registry=registry)
    controller = RolloutController(settings, metrics=metrics)
    while not stop.is_set():
        try:
            controller.run(stop)
        except RetryableError as error:
            metrics.failures.inc()
            logger.warning("%s: %s", type(error).__name__, error)
            stop.wait(RETRY_S)
