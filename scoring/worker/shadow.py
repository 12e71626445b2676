"""Scores with a challenger that decides nothing: beside the hot path, in a thread of its own.

The scorer offers each batch after its decisions have been acknowledged, and never waits. Rows wait
in a queue of limited length; what does not fit is dropped and counted. The challenger's decisions
go to ``shadow-decisions``. Between a few rows the thread lets go of the interpreter, so that the
next batch of the scorer is not held up.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import orjson

from features.online.batch_values import BatchValues
from models.model import Model
from models.policy import Policy
from schemas.decision import Outcome, RolloutRef
from schemas.rollout import Arm
from schemas.topics import DECISION_TYPE, HEADER_CONTROL, REPLAY_HEADER, cloud_event_headers
from scoring.core.arms import ArmOfRows
from scoring.core.rollouts import RolloutInUse
from scoring.metrics import Metrics
from scoring.worker.arm_use import ArmUse
from scoring.worker.decided_batch import DecidedBatch
from scoring.worker.feature_log import Record, read_batch

logger = logging.getLogger(__name__)

SOURCE: Final = "/weir/scoring"
ROWS_WAITING_MAX: Final = 5_000
"""Most rows that wait for the challenger; about 15 MB."""
ROWS_AT_ONCE: Final = 16
"""How many rows are scored before the thread lets go of the interpreter; about half a millisecond.
Python itself would switch threads after 5 ms only."""
STOP_S_MAX: Final = 5.0
_POLL_S: Final = 0.2


class ShadowRow(NamedTuple):
    """A row that the control has decided.

    Attributes:
        record: of the feature log.
        values: the batch features of its user; None if none were read.
        outcome: of the control.
        score: of the control.
    """

    record: Record
    values: BatchValues | None
    outcome: Outcome
    score: float


class ShadowProducer(Protocol):
    """Writes shadow decisions; `KafkaShadowProducer`, or a fake."""

    def send(self, key: bytes, value: bytes, headers: list[tuple[str, str | bytes | None]]) -> bool:
        """Hand over a record; False if there is no room. Never blocks."""
        ...

    def close(self) -> None:
        """Deliver what was handed over, for at most some seconds."""
        ...


class _Job(NamedTuple):
    rollout: RolloutRef
    challenger: Arm
    model: Model
    rows: Sequence[ShadowRow]


class ShadowScorer:
    """Scores what it is offered with the challenger of a shadow rollout."""

    def __init__(
        self,
        *,
        policy: Policy,
        producer: ShadowProducer,
        metrics: Metrics,
        now_ms: Callable[[], int],
        clock_ms: Callable[[], float],
        rows_waiting_max: int = ROWS_WAITING_MAX,
    ) -> None:
        """Start with an empty queue; nothing is scored before `start`.

        Args:
            policy: the thresholds.
            producer: writes the decisions.
            metrics: where both versions are compared, and drops are counted.
            now_ms: the clock, ms since 1970 UTC.
            clock_ms: a clock that never goes back, ms.
            rows_waiting_max: most rows that wait.
        """
        self._policy = policy
        self._producer = producer
        self._metrics = metrics
        self._now_ms = now_ms
        self._clock_ms = clock_ms
        self._rows_waiting_max = rows_waiting_max
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def start(self) -> None:
        """Begin to score."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; rows that wait are not scored any more."""
        self._stopping.set()
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(STOP_S_MAX)
        self._producer.close()

    def offer(self, in_use: RolloutInUse, rows: Sequence[ShadowRow]) -> None:
        """Have rows scored some time; drops and counts them if too many wait. Never blocks."""
        (challenger,) = in_use.rollout.challengers
        model = in_use.models.get(challenger.name)
        if model is None:
            self._metrics.shadow_dropped.labels(reason="arm_unavailable").inc(len(rows))
            return
        with self._lock:
            if self._waiting + len(rows) > self._rows_waiting_max:
                self._metrics.shadow_dropped.labels(reason="queue_full").inc(len(rows))
                return
            self._waiting += len(rows)
        rollout = RolloutRef(in_use.rollout.rollout_id, in_use.rollout.revision)
        self._jobs.put(_Job(rollout, challenger, model, rows))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            for begin in range(0, len(job.rows), ROWS_AT_ONCE):
                if self._stopping.is_set():
                    return
                self._score(job, job.rows[begin : begin + ROWS_AT_ONCE])
                time.sleep(0)
            with self._lock:
                self._waiting -= len(job.rows)

    def _score(self, job: _Job, rows: Sequence[ShadowRow]) -> None:
        batch = read_batch([row.record for row in rows])
        try:
            begin_ms = self._clock_ms()
            decided = DecidedBatch(
                batch,
                model=job.model,
                policy=self._policy,
                values=_values(rows),
                now_ms=self._now_ms(),
                arm=ArmUse(
                    ArmOfRows(job.rollout, job.challenger.name, propensity=0.0),
                    (),
                    None,
                    self._clock_ms,
                ),
            )
        except Exception:
            # A version that is on trial; the scorer itself must go on.
            logger.exception("shadow: model %s failed", job.model.ref)
            self._metrics.shadow_dropped.labels(reason="failed").inc(len(rows))
            return
        self._metrics.shadow_seconds.observe((self._clock_ms() - begin_ms) / 1_000)
        for at, (row, scorable) in enumerate(zip(rows, batch.scorables, strict=True)):
            self._compare(row, decided.outcomes[at], decided.scores[at])
            headers: list[tuple[str, str | bytes | None]] = [
                *cloud_event_headers(
                    event_type=DECISION_TYPE,
                    event_id=scorable.transaction_id.decode(),
                    source=SOURCE,
                    time_ms=decided.now_ms,
                )
            ]
            headers.append((HEADER_CONTROL, _control(row)))
            if scorable.is_replay:
                headers.append(REPLAY_HEADER)
            if not self._producer.send(scorable.user_id, decided.encode(at), headers):
                self._metrics.shadow_dropped.labels(reason="not_delivered").inc()

    def _compare(self, row: ShadowRow, outcome: Outcome, score: float) -> None:
        self._metrics.shadow_decisions.labels(control=row.outcome, challenger=outcome).inc()
        self._metrics.shadow_score_difference.observe(abs(score - row.score))


def _control(row: ShadowRow) -> bytes:
    return orjson.dumps({"decision": row.outcome, "score": row.score})


def _values(rows: Sequence[ShadowRow]) -> list[BatchValues] | None:
    values = [row.values for row in rows if row.values is not None]
    return values if len(values) == len(rows) else None
