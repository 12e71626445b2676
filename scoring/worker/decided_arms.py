"""The new decisions of one batch during a rollout: one model call for each arm.

Each arm's rows are a `DecidedBatch` of their own; here they look like one batch to `BatchScorer`,
by position among all scorable rows. An arm whose model fails is decided by the next model of its
ladder: the control's, the champion, the heuristic.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from features.online.batch_values import BatchValues
from models.model import Model
from models.policy import Policy
from scoring.core.arms import ArmGroup, group_by_arm
from scoring.core.rollouts import RolloutInUse
from scoring.worker.arm_use import ArmUse
from scoring.worker.decided_batch import DecidedBatch
from scoring.worker.feature_log import ReadBatch

logger = logging.getLogger(__name__)


class DecidedArms:
    """The decisions about the rows of a batch, by position among its scorable rows.

    Attributes:
        proposals, contexts, now_ms, outcomes, scores, degraded, unstored_kept: as of
            `DecidedBatch`.
        arms: of each row.
    """

    def __init__(
        self,
        batch: ReadBatch,
        *,
        in_use: RolloutInUse,
        champion: Model,
        policy: Policy,
        values: Sequence[BatchValues] | None,
        now_ms: int,
        clock_ms: Callable[[], float],
    ) -> None:
        """Decide on all rows.

        Args:
            batch: the rows.
            in_use: the rollout.
            champion: scores if neither the arm nor the control has a model.
            policy: the thresholds.
            values: the batch features of each row's user; None if they could not be read, or no
                model takes some.
            now_ms: the present time, ms since 1970 UTC.
            clock_ms: a clock that never goes back, ms.
        """
        self.now_ms = now_ms
        assigned = in_use.assigner.assign_all(
            (each.user_id, each.transaction_id) for each in batch.scorables
        )
        places: dict[int, tuple[DecidedBatch, int]] = {}
        self.arms = [row.arm for row in assigned]
        self.unstored_kept: dict[int, bytes] = {}
        self.contexts: dict[bytes, bytes] = {}
        for group in group_by_arm(in_use, assigned, champion=champion):
            part = _decided(
                group,
                batch._replace(scorables=[batch.scorables[at] for at in group.at]),
                policy=policy,
                values=None if values is None else [values[at] for at in group.at],
                now_ms=now_ms,
                in_use=in_use,
                clock_ms=clock_ms,
            )
            self.contexts |= part.contexts
            for number, at in enumerate(group.at):
                places[at] = (part, number)
        self._places = [places[at] for at in range(len(assigned))]
        self.proposals = [part.proposals[number] for part, number in self._places]
        self.outcomes = [part.outcomes[number] for part, number in self._places]
        self.scores = [part.scores[number] for part, number in self._places]
        self.degraded = [part.degraded[number] for part, number in self._places]

    def unstored(self, at: int) -> bytes:
        """Give what is to be kept of a decision that the store could not take."""
        part, number = self._places[at]
        kept = part.unstored(number)
        self.unstored_kept[at] = kept
        self.degraded[at] = part.degraded[number]
        self.contexts |= part.contexts
        return kept

    def encode_many(self, positions: Sequence[int]) -> list[bytes]:
        """Write decisions, after they were kept, in the order of the positions."""
        of_parts: dict[DecidedBatch, list[tuple[int, int]]] = {}
        for at in positions:
            part, number = self._places[at]
            of_parts.setdefault(part, []).append((at, number))
        written: dict[int, bytes] = {}
        for part, found in of_parts.items():
            encoded = part.encode_many([number for _, number in found])
            written.update(zip((at for at, _ in found), encoded, strict=True))
        return [written[at] for at in positions]


def _decided(
    group: ArmGroup,
    rows: ReadBatch,
    *,
    policy: Policy,
    values: Sequence[BatchValues] | None,
    now_ms: int,
    in_use: RolloutInUse,
    clock_ms: Callable[[], float],
) -> DecidedBatch:
    last = len(group.ladder) - 1
    for step, (model, degraded) in enumerate(group.ladder):
        try:
            return DecidedBatch(
                rows,
                model=model,
                policy=policy,
                values=values,
                now_ms=now_ms,
                arm=ArmUse(group.of, degraded, in_use.let_through, clock_ms),
            )
        except Exception:
            # A version that is on trial must not stop the scorer. The last model is the heuristic;
            # what it raises is a bug.
            if step == last:
                raise
            logger.exception(
                "%s of rollout %s: model %s failed; the next one scores",
                group.of.arm,
                group.of.rollout.id,
                model.ref,
            )
    raise AssertionError("a ladder has at least the heuristic")
