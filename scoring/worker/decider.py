"""Decides on a batch: by the champion, or by the arms of the rollout in use.

Owns which models score a batch, and one read of batch features for all of them. `BatchScorer`
calls it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from features.online.batch_values import BatchValues
from models.model import Model
from models.policy import Policy
from scoring.core.batch_features import read_batch_values
from scoring.core.ports import BatchFeatureReader, ModelSource
from scoring.core.rollouts import RolloutInUse, RolloutSource
from scoring.metrics import Metrics
from scoring.worker.decided_arms import DecidedArms
from scoring.worker.decided_batch import DecidedBatch
from scoring.worker.feature_log import ReadBatch
from scoring.worker.shadow import ShadowRow, ShadowScorer

Decided: TypeAlias = DecidedBatch | DecidedArms


class DecidedRows(NamedTuple):
    """A decided batch, with what a challenger in the shadow needs of it."""

    decided: Decided
    batch: ReadBatch
    in_use: RolloutInUse | None
    values: Sequence[BatchValues] | None


class Decider:
    """Decides on batches, one at a time."""

    def __init__(
        self,
        *,
        models: ModelSource,
        rollouts: RolloutSource,
        policy: Policy,
        batch_reader: BatchFeatureReader,
        metrics: Metrics,
        now_ms: Callable[[], int],
        clock_ms: Callable[[], float],
        shadow: ShadowScorer | None,
    ) -> None:
        """Store the parts.

        Args:
            models: gives the champion; asked once for each batch.
            rollouts: gives the rollout in use; asked once for each batch.
            policy: the thresholds.
            batch_reader: reads batch features; asked only if a model uses some.
            metrics: where the decisions of arms are counted.
            now_ms: the clock, ms since 1970 UTC.
            clock_ms: a clock that never goes back, ms.
            shadow: scores with the challenger of a shadow rollout; None if nothing does.
        """
        self._models = models
        self._rollouts = rollouts
        self._policy = policy
        self._batch_reader = batch_reader
        self._metrics = metrics
        self._now_ms = now_ms
        self._clock_ms = clock_ms
        self._shadow = shadow

    async def decide(self, batch: ReadBatch) -> DecidedRows:
        """Decide on all rows of a batch.

        Blocks: up to the timeout of the batch features.
        """
        champion, in_use = self._models.current(), self._rollouts.current()
        values = await self._values(batch, champion, in_use)
        decided: Decided
        if in_use is None:
            decided = DecidedBatch(
                batch,
                model=champion,
                policy=self._policy,
                values=values,
                now_ms=self._now_ms(),
            )
        else:
            decided = DecidedArms(
                batch,
                in_use=in_use,
                champion=champion,
                policy=self._policy,
                values=values,
                now_ms=self._now_ms(),
                clock_ms=self._clock_ms,
            )
        return DecidedRows(decided, batch, in_use, values)

    def after_emission(self, rows: DecidedRows) -> None:
        """Count the decisions of arms, and offer them to a challenger in the shadow."""
        decided, in_use = rows.decided, rows.in_use
        if in_use is None or not isinstance(decided, DecidedArms):
            return
        count = len(rows.batch.scorables)
        counted = Counter(zip(decided.arms, decided.outcomes, strict=True))
        for (arm, outcome), number in counted.items():
            self._metrics.arm_decisions.labels(
                rollout=in_use.rollout.rollout_id, arm=arm, decision=outcome
            ).inc(number)
        if self._shadow is None or in_use.rollout.strategy != "shadow":
            return
        if in_use.rollout.status == "running" and count:
            self._shadow.offer(
                in_use,
                [
                    ShadowRow(
                        each.record,
                        None if rows.values is None else rows.values[at],
                        decided.outcomes[at],
                        decided.scores[at],
                    )
                    for at, each in enumerate(rows.batch.scorables)
                ],
            )

    async def _values(
        self, batch: ReadBatch, champion: Model, in_use: RolloutInUse | None
    ) -> list[BatchValues] | None:
        if in_use is not None:
            asking = in_use.model_with_batch_features(champion)
        else:
            asking = champion if champion.batch_columns else None
        if asking is None:
            return None
        return await read_batch_values(self._batch_reader, batch.events(), model=asking)
