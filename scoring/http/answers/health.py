"""The answers of GET /health and GET /ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field

from models.heuristic import HEURISTIC_NAME
from schemas.decision import ModelRef
from scoring.http.answers import EXAMPLE_MODEL, Answer, ModelAnswer


class HealthAnswer(Answer):
    """The process is able to answer."""

    status: Literal["live"]


class RedisReadiness(Answer):
    """Whether the online store answers in time."""

    reachable: bool


class ModelReadiness(Answer):
    """Which model decides."""

    loaded: bool = Field(description="false: no version passed its checks, the heuristic decides")
    model: ModelAnswer
    refused: dict[str, str] = Field(description="versions that are not used, and why")


class ReadyAnswer(Answer):
    """Whether predictions are answered in full: with stored features and a model."""

    ready: bool
    reasons: list[str] = Field(description="why not; empty when ready")
    redis: RedisReadiness
    model: ModelReadiness
    worker: int = Field(description="process id of the worker that answers, for itself")

    @classmethod
    def of(
        cls,
        *,
        redis_failure: str | None,
        model: ModelRef,
        refused: Mapping[str, str],
        worker: int,
    ) -> Self:
        """Build the answer.

        Args:
            redis_failure: why Redis does not answer; None when it does.
            model: the model that decides now.
            refused: the versions that were refused, each with its reason.
            worker: the process that answers.
        """
        reasons = [] if redis_failure is None else [redis_failure]
        is_loaded = model.name != HEURISTIC_NAME
        if not is_loaded:
            reasons.append("no model is loaded: the heuristic decides")
        return cls(
            ready=not reasons,
            reasons=reasons,
            redis=RedisReadiness(reachable=redis_failure is None),
            model=ModelReadiness(
                loaded=is_loaded, model=ModelAnswer.of(model), refused=dict(refused)
            ),
            worker=worker,
        )


HEALTH_EXAMPLE = HealthAnswer(status="live")
READY_EXAMPLE = ReadyAnswer.of(redis_failure=None, model=EXAMPLE_MODEL, refused={}, worker=4711)
NOT_READY_EXAMPLE = ReadyAnswer.of(
    redis_failure=None,
    model=ModelRef(name=HEURISTIC_NAME, version="rules-1", digest="0fb15af7c48e9c47"),
    refused={"3": "GoldenRowsMismatchError: golden row 0 scores 0.2, recorded was 0.4"},
    worker=4711,
)
