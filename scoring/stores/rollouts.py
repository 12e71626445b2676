"""Follows the rollouts: reads their log to the end, then each change as it comes.

`RolloutFollower` is the `RolloutSource` of the worker and of the API. One thread reads the topic
``rollouts``, another one loads the versions of the arms, so neither Kafka nor the registry ever
delays a decision, and the registry delays no change of a rollout that has begun. Which changes
count is `scoring.core.rollout_history`'s to say, whether a version may score `models.artifact`'s.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final

from clients.errors import KafkaUnreachableError
from clients.kafka import to_record
from clients.kafka_log import TopicLog
from clients.log_record import Record
from clients.mlflow_rest import MlflowRest
from clients.topic_tail import TopicTail
from schemas.rollout import Rollout, RolloutChange
from schemas.topics import ROLLOUTS
from scoring.core.ports import ModelSource
from scoring.core.rollout_history import RolloutHistory
from scoring.core.rollouts import RolloutInUse, RolloutStanding
from scoring.metrics import Metrics
from scoring.stores.arm_models import ArmModels
from scoring.stores.kept_models import KeptModels
from scoring.stores.rollout_log import PARTITION, apply_record

logger = logging.getLogger(__name__)

START_S_MAX: Final = 10.0
"""Longest wait for the first reading of the log, s; after it the champion decides alone for now."""
POLL_S: Final = 0.5
"""Longest wait for a change, s, before the thread looks whether to stop."""
RETRY_S: Final = 2.0
"""Time between two attempts to reach Kafka, s."""
LOAD_WAIT_S: Final = 1.0
"""How long versions are waited for before the thread looks for further changes, s."""


class RolloutFollower:
    """The `RolloutSource` of scorer and API.

    - A change that counts: its arms are loaded and checked as a champion is, then it is in use.
    - A record that cannot be read, or that does not count: nothing changes; one line in the log,
      and a metric.
    - Kafka does not answer: the rollout in use stays.
    - The registry does not give a version: the process does not use the rollout yet, so the
      champion decides without arms, until the version is loaded, or for `LOADING_MS_MAX` at most.
    - The version of an arm is refused or was deleted, or that time is over: the arm has no model,
      and the decisions of its rows say ``arm_unavailable``.
    """

    def __init__(
        self,
        bootstrap: str,
        registry: MlflowRest,
        *,
        champion: ModelSource,
        model_name: str,
        metrics: Metrics,
        clock_ms: Callable[[], float],
        kept: KeptModels | None = None,
        on_completed: Callable[[], None] = lambda: None,
        topic: str = ROLLOUTS,
    ) -> None:
        """Start without a rollout; nothing is read before `start`.

        Args:
            bootstrap: Kafka's address.
            registry: where the versions of the arms come from.
            champion: its model is used for an arm of the same version.
            model_name: the registered model whose rollout is followed.
            metrics: where shares and ignored records are shown.
            clock_ms: a clock that never goes back, ms.
            kept: the files of versions on the disk; None to keep none.
            on_completed: called before a completed rollout is no longer used. Its version is the
                champion by then, so the champion is looked up first.
            topic: the log.
        """
        self._bootstrap = bootstrap
        self._arms = ArmModels(
            registry, champion=champion, model_name=model_name, clock_ms=clock_ms, kept=kept
        )
        self._model_name = model_name
        self._metrics = metrics
        self._on_completed = on_completed
        self._topic = topic
        self._current: RolloutInUse | None = None
        self._newest: Mapping[str, RolloutChange] = {}
        self._wanted: RolloutChange | None = None
        self._trouble: str | None = None
        self._shown: set[tuple[str, str, str]] = set()
        self._has_read = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def current(self) -> RolloutInUse | None:
        """Give the rollout in use; see `scoring.core.rollouts.RolloutSource`."""
        return self._current

    def standing(self) -> RolloutStanding | None:
        """Say how far the process has the active rollout; see the protocol."""
        wanted, current = self._wanted, self._current
        if wanted is None:
            return None
        rollout = wanted.rollout
        return RolloutStanding(
            rollout,
            is_in_use=current is not None and current.rollout == rollout,
            loaded={name: model is not None for name, model in self._arms.of(rollout).items()},
            refused=dict(self._arms.refused),
        )

    def newest(self) -> Mapping[str, RolloutChange]:
        """Give the newest change of every rollout, of all models, by id."""
        return self._newest

    def refused(self) -> dict[str, str]:
        """Give the versions of arms that were refused, with the reasons."""
        return dict(self._arms.refused)

    def trouble(self) -> str | None:
        """Say why the log cannot be followed at present; None if it can."""
        return self._trouble

    def start(self) -> None:
        """Read the log to its end, then go on following it in the background.

        Blocks: until the first reading has ended, well or badly, at most `START_S_MAX`. Raises
        nothing: without the log there is no rollout, and the champion decides.
        """
        self._thread = threading.Thread(target=self._run, name="rollout-follower", daemon=True)
        self._thread.start()
        self._has_read.wait(START_S_MAX)

    def stop(self) -> None:
        """Stop following. Waits for the thread at most some seconds."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=START_S_MAX)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except KafkaUnreachableError as error:
                self._metrics.rollout_log_failures.inc()
                self._note(f"{error}; the rollout in use stays")
            self._has_read.set()
            self._stopping.wait(RETRY_S)

    def _follow(self) -> None:
        """Read the log from its beginning and follow it until the process stops.

        Raises:
            KafkaUnreachableError: no answer, or the log has lost what was read.
        """
        history = RolloutHistory()
        with TopicLog(self._bootstrap, self._topic) as log:
            span = log.ranges[PARTITION]
            for record in log.read(PARTITION, first=span.first, end=span.end):
                self._apply(record, history)
        start = {self._topic: {PARTITION: span.end}}
        with TopicTail(self._bootstrap, self._topic, start=start) as tail:
            self._take(history)
            self._note(None)
            while not self._stopping.is_set():
                if self._wanted is None or not self._arms.is_loading():
                    self._has_read.set()
                message = tail.poll(POLL_S)
                if message is not None and message.partition() == PARTITION:
                    self._apply(to_record(message), history)
                    self._take(history)
                elif message is None:
                    self._advance()

    def _apply(self, record: Record, history: RolloutHistory) -> None:
        ignored = apply_record(record, history)
        if ignored is None:
            return
        self._metrics.rollout_records_ignored.inc()
        logger.warning(
            "rollouts: the record at offset %d of %s changes nothing: %s",
            ignored.offset,
            self._topic,
            ignored.error,
        )

    def _take(self, history: RolloutHistory) -> None:
        """Take the newest state of the log."""
        before = self._current
        self._newest = {change.rollout.rollout_id: change for change in history}
        self._wanted = history.active(self._model_name)
        if self._wanted is not None:
            self._advance()
            return
        if before is not None:
            ended = history.newest(before.rollout.rollout_id)
            if ended is not None and ended.rollout.status == "completed":
                self._on_completed()
            self._swap(None, ended.reason if ended else "its log is gone")
        self._arms.forget()

    def _advance(self) -> None:
        """Come closer to what is wanted: load versions, use a revision, use a loaded version.

        A rollout begins once its versions are loaded or refused, or have been waited for long
        enough. After that a new revision is in use at once, whatever the registry does. Loading
        runs in a thread of its own.
        """
        if self._wanted is None:
            return
        rollout, before = self._wanted.rollout, self._current
        if self._arms.is_due(rollout):
            self._arms.load(rollout, wait_s=LOAD_WAIT_S)
        self._show_arms(rollout)
        is_new = before is None or before.rollout.rollout_id != rollout.rollout_id
        if is_new and self._arms.must_wait(rollout):
            return
        models = self._arms.of(rollout)
        if before is None or before.rollout != rollout:
            self._swap(RolloutInUse.of(rollout, models), self._wanted.reason)
        elif before.models != models:
            self._swap(RolloutInUse.of(rollout, models), "a version was loaded")

    def _swap(self, after: RolloutInUse | None, reason: str) -> None:
        before, self._current = self._current, after
        logger.info(
            "rollout: %s, before %s: %s",
            _described(after.rollout if after else None),
            _described(before.rollout if before else None),
            reason,
        )
        shown = set()
        for arm in after.rollout.arms if after else ():
            labels = (after.rollout.rollout_id, arm.name, arm.version) if after else ("", "", "")
            self._metrics.rollout_share.labels(*labels).set(arm.share_bp / 10_000)
            shown.add(labels)
        for labels in self._shown - shown:
            self._metrics.rollout_share.labels(*labels).set(0)
        self._shown |= shown

    def _show_arms(self, rollout: Rollout) -> None:
        models = self._arms.of(rollout)
        for arm in rollout.arms:
            labels = (rollout.rollout_id, arm.name, arm.version)
            is_loaded = models[arm.name] is not None
            self._metrics.rollout_arm_loaded.labels(*labels).set(is_loaded)

    def _note(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            if trouble is not None:
                logger.warning("rollouts: %s", trouble)
            else:
                logger.info("rollouts: the log is followed again")
        self._trouble = trouble


def _described(rollout: Rollout | None) -> str:
    if rollout is None:
        return "none"
    shares = ", ".join(f"{arm.name}={arm.share_bp / 100:g} %" for arm in rollout.arms)
    return f"{rollout.rollout_id} revision {rollout.revision} ({rollout.status}; {shares})"
