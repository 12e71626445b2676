"""The answers of POST /models/{name}/predict and /predict/batch: scores of users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field

from features.definitions import DEFINITION_DIGEST
from features.online.user_inputs import UserInputs
from schemas.decision import ModelRef
from scoring.core.user_scores import NoScore, UserScore
from scoring.http.answers import (
    EXAMPLE_NOW_MS,
    Answer,
    DefinitionDigest,
    FeatureValues,
    ModelAnswer,
)
from scoring.http.answers.problem import Problem


class UserPredictAnswer(Answer):
    """The score of a user. Nothing is stored, nothing is emitted."""

    user_id: str
    score: float = Field(ge=0, le=1)
    decision: str = Field(description="one of the outcomes of the model, see GET /models")
    model_version: str = Field(description="the same as model.version")
    model: ModelAnswer
    latency_ms: float = Field(ge=0, description="time spent on this request in the service")
    degraded: list[str] = Field(
        description="champion_unavailable: the last good version scored; empty is good"
    )
    features: FeatureValues = Field(description="the input of the model, by column")
    event_time_ms: int = Field(description="of the user's newest transaction")
    batch_as_of_ms: int | None = Field(
        description="the snapshot of the batch features; null if the model takes none"
    )
    as_of_ms: int = Field(description="the time of the request, of which the score is")
    definition_digest: DefinitionDigest

    @classmethod
    def of(
        cls,
        scored: UserScore,
        *,
        model: ModelRef,
        degraded: Sequence[str] = (),
        as_of_ms: int,
        latency_ms: float,
    ) -> Self:
        """Build the answer.

        Args:
            scored: the score.
            model: that scored.
            degraded: what was missing.
            as_of_ms: the time of the request, ms since 1970 UTC.
            latency_ms: time spent on the request, ms.
        """
        return cls(
            user_id=scored.user_id,
            score=scored.score,
            decision=scored.decision,
            model_version=model.version,
            model=ModelAnswer.of(model),
            latency_ms=round(latency_ms, 3),
            degraded=list(degraded),
            features=dict(scored.inputs.features),
            event_time_ms=scored.inputs.event_time_ms,
            batch_as_of_ms=scored.inputs.snapshot_ms,
            as_of_ms=as_of_ms,
            definition_digest=DEFINITION_DIGEST,
        )


class UserBatchPredictAnswer(Answer):
    """The scores of some users."""

    answers: list[UserPredictAnswer | Problem] = Field(
        description="one for each user, in their order: what the route for one user would have "
        "answered; a problem has a status"
    )
    refused: int = Field(ge=0, description="how many of the answers are problems")

    @classmethod
    def of(cls, answers: Sequence[UserPredictAnswer | Problem]) -> Self:
        """Build the answer, in the order of the users."""
        refused = sum(isinstance(each, Problem) for each in answers)
        return cls(answers=list(answers), refused=refused)


def problem_of(missing: NoScore) -> Problem:
    """Build the problem of a user without a score."""
    return Problem.of(404 if missing.is_unknown else 503, missing.reason)


EXAMPLE = UserPredictAnswer.of(
    UserScore(
        "u-1",
        0.8421,
        "LEAVES",
        UserInputs({"user_days_idle": 12}, EXAMPLE_NOW_MS - 1_000_000_000, EXAMPLE_NOW_MS),
    ),
    model=ModelRef(name="churn", version="3", digest="1b6d20c79e5f0a48"),
    as_of_ms=EXAMPLE_NOW_MS,
    latency_ms=1.203,
)
BATCH_EXAMPLE = UserBatchPredictAnswer.of(
    [EXAMPLE, Problem.of(404, "no history for user 'u-9'")],
)
