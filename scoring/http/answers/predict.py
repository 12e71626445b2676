"""The answer of POST /predict: the score of an ad-hoc transaction, and what it rests on."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from features.definitions import DEFINITION_DIGEST
from schemas.decision import Outcome, RolloutRef
from scoring.core.ad_hoc import AdHocScore
from scoring.http.answers import (
    EXAMPLE_FEATURES,
    EXAMPLE_MODEL,
    EXAMPLE_NOW_MS,
    EXAMPLE_ROLLOUT,
    Answer,
    ApproximateNames,
    DefinitionDigest,
    FeatureValues,
    ModelAnswer,
)


class Ages(Answer):
    """Time since the last event in each entity's history, in ms; null without history.

    ``batch`` counts from the snapshot of the batch features; null where there are none.
    """

    user: int | None = Field(ge=0)
    merchant: int | None = Field(ge=0)
    batch: int | None = Field(ge=0)


class RolloutRefAnswer(Answer):
    """The rollout that was in use."""

    id: str
    revision: int = Field(ge=1)

    @classmethod
    def of(cls, ref: RolloutRef | None) -> Self | None:
        """Build the answer; None without a rollout."""
        return None if ref is None else cls(id=ref.id, revision=ref.revision)


class PredictAnswer(Answer):
    """The score of an ad-hoc transaction. Nothing is stored, nothing is emitted."""

    transaction_id: str = Field(description="as sent, or generated (adhoc-...)")
    score: float = Field(ge=0, le=1)
    decision: Outcome
    model_version: str = Field(description="the same as model.version")
    model: ModelAnswer
    latency_ms: float = Field(ge=0, description="time spent on this request in the service")
    reasons: list[str] = Field(
        description="sentences for display: the threshold, the matched rules, remarks on the "
        "history; the model's own reasons are not among them"
    )
    matched_rules: list[str] = Field(
        description="hand-set rules of the heuristic that the transaction matches; they gave the "
        "score only if the heuristic scored"
    )
    degraded: list[str] = Field(description="what was missing when it was scored; empty is good")
    features: FeatureValues
    approximate: ApproximateNames
    vector: list[float | None] | None = Field(
        description="the exact input of the model; null where no model scored"
    )
    feature_age_ms: Ages
    batch_as_of_ms: int | None = Field(
        description="the snapshot that batch features are as of; null where none were scored"
    )
    rollout: RolloutRefAnswer | None = Field(
        default=None, description="the rollout that split the traffic; null if there was none"
    )
    arm: str | None = Field(
        default=None,
        description="the arm of the user, the same as in the stream; null without a rollout",
    )
    propensity: float | None = Field(
        default=None, ge=0, le=1, description="probability of the arm; null without a rollout"
    )
    event_time_ms: int = Field(description="as sent, or the time of the request")
    definition_digest: DefinitionDigest

    @classmethod
    def of(cls, scored: AdHocScore, *, latency_ms: float) -> Self:
        """Build the answer.

        Args:
            scored: the decision, and the ages of the histories it rests on.
            latency_ms: time spent on the request, ms.
        """
        decision = scored.decision
        return cls(
            transaction_id=decision.transaction_id,
            score=decision.score,
            decision=decision.decision,
            model_version=decision.model.version,
            model=ModelAnswer.of(decision.model),
            latency_ms=round(latency_ms, 3),
            reasons=decision.reasons,
            matched_rules=decision.matched_rules,
            degraded=decision.degraded,
            features=decision.features,
            approximate=decision.approximate,
            vector=decision.vector,
            feature_age_ms=Ages(
                user=scored.user_age_ms,
                merchant=scored.merchant_age_ms,
                batch=scored.batch_age_ms,
            ),
            batch_as_of_ms=decision.batch_as_of_ms,
            rollout=RolloutRefAnswer.of(decision.rollout),
            arm=decision.arm,
            propensity=decision.propensity,
            event_time_ms=decision.event_time_ms,
            definition_digest=decision.definition_digest,
        )


EXAMPLE = PredictAnswer(
    transaction_id="adhoc-5b0c8de1f0c14c2a9d5b2f6f3a1e7c44",
    score=0.0312,
    decision="APPROVE",
    model_version=EXAMPLE_MODEL.version,
    model=ModelAnswer.of(EXAMPLE_MODEL),
    latency_ms=1.412,
    reasons=["score 0.031 is not above 0.5"],
    matched_rules=[],
    degraded=[],
    features=EXAMPLE_FEATURES,
    approximate=[],
    vector=[4250.0, 1.0, 0.0],
    feature_age_ms=Ages(user=2_678_400_000, merchant=1_200, batch=7_200_000),
    batch_as_of_ms=EXAMPLE_NOW_MS - 7_200_000,
    rollout=RolloutRefAnswer(id=EXAMPLE_ROLLOUT.rollout_id, revision=EXAMPLE_ROLLOUT.revision),
    arm="control",
    propensity=0.95,
    event_time_ms=EXAMPLE_NOW_MS,
    definition_digest=DEFINITION_DIGEST,
)
