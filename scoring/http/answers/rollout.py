"""The answers of the routes of rollouts: where a rollout stands, why, and what happens next."""

from __future__ import annotations

import dataclasses
from typing import Self

from pydantic import Field

from schemas.rollout import RolloutChange
from schemas.rollout_state import RolloutReading
from scoring.core.rollout_live import notes_of
from scoring.core.rollout_report import RolloutReport, report
from scoring.http.answers import EXAMPLE_NOW_MS, EXAMPLE_ROLLOUT, Answer


class ArmAnswer(Answer):
    """One model version that takes part."""

    name: str = Field(description="`control`, or the name of the challenger")
    version: str = Field(description="of the model")
    share: float = Field(ge=0, le=1, description="of the traffic that it decides on")


class ChangeAnswer(Answer):
    """One change of a rollout."""

    revision: int = Field(ge=1, description="1 for the start, one more for each change")
    at_ms: int = Field(description="when, ms since 1970 UTC")
    by: str = Field(description="a person, or `weir-rollout-controller`")
    reason: str = Field(description="why")
    to: str = Field(description="where the rollout stood after it, for display")


class ArmCountsAnswer(Answer):
    """What was counted of one arm."""

    name: str
    decisions: int = Field(ge=0, description="all, without repeats")
    errors: int = Field(ge=0, description="those that another model made in its place")
    outcomes: dict[str, int] = Field(
        description="number of decisions by outcome, as the arm decided them"
    )
    mean_score: float
    mature_decisions: int = Field(ge=0, description="those whose labels are mature")
    mean_loss: float | None = Field(description="of those; null without any")


class FigureAnswer(Answer):
    """One number of a rollout."""

    name: str = Field(description="what it is, stable for programs")
    value: float | None = Field(description="null while it is not known")
    text: str = Field(description="what it means; for display")


class CountedAnswer(Answer):
    """What the controller has counted and judged; a second or so old."""

    counted_at_ms: int = Field(description="when, ms since 1970 UTC")
    latest_decision_ms: int | None = Field(
        description="clock of the newest decision, ms since 1970 UTC; null before the first"
    )
    latest_label_ms: int | None = Field(
        description="when the newest label of any transaction came, ms since 1970 UTC; null before "
        "the first"
    )
    verdict: str = Field(description="what the controller does now, and why; for display")
    recommendation: str | None = Field(
        description="of an A/B test: promote, keep or go_on; null for other strategies"
    )
    arms: list[ArmCountsAnswer]
    figures: list[FigureAnswer] = Field(
        description="guards, lift, interval, p-values and the check of the shares"
    )
    notes: list[str] = Field(description="what a person should know besides; for display")

    @classmethod
    def of(cls, reading: RolloutReading, *, is_active: bool, now_ms: int) -> Self:
        """Build the answer."""
        return cls(
            counted_at_ms=reading.counted_at_ms,
            latest_decision_ms=reading.latest_decision_ms,
            latest_label_ms=reading.latest_label_ms,
            verdict=reading.verdict,
            recommendation=reading.recommendation,
            arms=[ArmCountsAnswer(**dataclasses.asdict(arm)) for arm in reading.arms],
            figures=[FigureAnswer(**dataclasses.asdict(each)) for each in reading.figures],
            notes=notes_of(reading, is_active=is_active, now_ms=now_ms),
        )


class RolloutAnswer(Answer):
    """Where a rollout stands."""

    rollout_id: str
    model_name: str = Field(description="the registered model whose traffic is split")
    strategy: str = Field(description="canary, ab, shadow, blue_green or bandit")
    status: str = Field(description="running, paused, completed, aborted or rolled_back")
    revision: int = Field(ge=1)
    arms: list[ArmAnswer]
    since_ms: int = Field(description="when it came to stand there, ms since 1970 UTC")
    why: str = Field(description="why it stands there, and who says so; for display")
    next: str = Field(description="what happens next, and on what condition; for display")
    changes: list[ChangeAnswer] = Field(description="oldest first, as far as they were asked for")
    counted: CountedAnswer | None = Field(
        default=None,
        description="what the controller has counted; null before its first count, and where only "
        "the newest change was asked for",
    )

    @classmethod
    def of(cls, found: RolloutReport, counted: CountedAnswer | None = None) -> Self:
        """Build the answer."""
        return cls(
            counted=counted,
            rollout_id=found.rollout_id,
            model_name=found.model_name,
            strategy=found.strategy,
            status=found.status,
            revision=found.revision,
            arms=[
                ArmAnswer(name=arm.name, version=arm.version, share=arm.share) for arm in found.arms
            ],
            since_ms=found.since_ms,
            why=found.why,
            next=found.next,
            changes=[
                ChangeAnswer(
                    revision=one.revision,
                    at_ms=one.at_ms,
                    by=one.by,
                    reason=one.reason,
                    to=one.to,
                )
                for one in found.changes
            ],
        )


class RolloutsAnswer(Answer):
    """All rollouts, oldest first, each with its newest change."""

    rollouts: list[RolloutAnswer]


EXAMPLE = RolloutAnswer.of(
    report(
        [
            RolloutChange(
                change_id=EXAMPLE_ROLLOUT.salt,
                changed_at_ms=EXAMPLE_NOW_MS,
                changed_by="ana",
                reason="version 8 has better figures",
                rollout=EXAMPLE_ROLLOUT,
            )
        ]
    )
)
LIST_EXAMPLE = RolloutsAnswer(rollouts=[EXAMPLE])
