"""What people read of a rollout: the counts of each arm, the verdict, and what else to know.

Pure. The controller puts it into each snapshot.
"""

from __future__ import annotations

from typing import NamedTuple

from operations.rollouts.judge.verdict import Verdict
from operations.rollouts.judge.words import count
from operations.rollouts.losses import OUTCOMES
from operations.rollouts.state import ArmTotals, RolloutState
from schemas.rollout import Rollout
from schemas.rollout_state import ArmReading, RolloutReading


class Trouble(NamedTuple):
    """What the controller could not count."""

    deleted: int = 0
    """Records that Kafka had deleted before they were read."""
    unreadable: int = 0
    has_too_many_labels: bool = False
    promotion: str | None = None
    """Why the promotion waits; None if none does."""


def reading_of(
    rollout: Rollout,
    state: RolloutState,
    verdict: Verdict,
    *,
    now_ms: int,
    latest_decision_ms: int,
    trouble: Trouble,
) -> RolloutReading:
    """Describe a rollout.

    Args:
        rollout: as it is.
        state: what was counted.
        verdict: about both.
        now_ms: clock, ms since 1970 UTC.
        latest_decision_ms: clock of its newest decision; 0 before the first.
        trouble: what could not be counted.
    """
    return RolloutReading(
        rollout_id=rollout.rollout_id,
        revision=rollout.revision,
        counted_at_ms=now_ms,
        started_at_ms=rollout.started_at_ms,
        latest_decision_ms=latest_decision_ms or None,
        latest_label_ms=state.latest_label_ms or None,
        verdict=verdict.reason,
        recommendation=verdict.recommendation,
        arms=tuple(_arm(arm.name, state.totals[arm.name]) for arm in rollout.arms),
        figures=verdict.figures,
        notes=tuple(_notes(trouble)),
    )


def _arm(name: str, totals: ArmTotals) -> ArmReading:
    mature = totals.mature
    return ArmReading(
        name=name,
        decisions=totals.decisions,
        errors=totals.errors,
        outcomes=dict(zip(OUTCOMES, totals.outcomes, strict=True)),
        mean_score=totals.mean_score,
        mature_decisions=mature.count,
        mean_loss=mature.mean if mature.count else None,
    )


def _notes(trouble: Trouble) -> list[str]:
    notes = []
    if trouble.deleted:
        notes.append(
            f"Kafka had deleted {count(trouble.deleted)} records before they were counted: "
            "WEIR_DECISIONS_RETENTION_MIB keeps less than the time until labels are mature."
        )
    if trouble.unreadable:
        notes.append(
            f"{count(trouble.unreadable)} records of `decisions` name this rollout and cannot be "
            "counted; something else than the scorer writes there."
        )
    if trouble.has_too_many_labels:
        notes.append(TOO_MANY_LABELS)
    if trouble.promotion is not None:
        notes.append(trouble.promotion)
    return notes


TOO_MANY_LABELS = (
    "More labels came within the time to maturity than WEIR_ROLLOUT_LABELS_MAX: the newer ones "
    "were dropped, so no more decisions are judged by their labels. Raise it, or start a rollout "
    "with a shorter plan.label_maturity_ms."
)
