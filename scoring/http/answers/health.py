"""The answers of GET /health and GET /ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import Field

from models.heuristic import HEURISTIC_NAME
from schemas.decision import ModelRef
from schemas.rollout import SHARES_BP
from scoring.core.rollouts import RolloutStanding
from scoring.http.answers import EXAMPLE_MODEL, EXAMPLE_ROLLOUT, Answer, ModelAnswer


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
    degraded: list[str] = Field(
        description="what `degraded` says of its decisions: `champion_unavailable` while the "
        "champion cannot be read and the last good model decides"
    )


class ArmReadiness(Answer):
    """One arm of the active rollout, in this process."""

    name: str
    version: str
    share: float = Field(description="of the traffic, 0 to 1")
    loaded: bool = Field(description="whether its version is loaded and can score")
    refused: list[str] = Field(description="why its version will never score; empty otherwise")


class RolloutReadiness(Answer):
    """The active rollout, as far as this process has it."""

    rollout_id: str
    strategy: str
    status: str
    stage: int = Field(description="index of the stage of a canary, from 0; else 0")
    revision: int
    in_use: bool = Field(
        description="false: the process waits for versions, the champion decides without arms"
    )
    arms: list[ArmReadiness]

    @classmethod
    def of(cls, standing: RolloutStanding) -> Self:
        """Build this part of the answer."""
        rollout = standing.rollout
        return cls(
            rollout_id=rollout.rollout_id,
            strategy=rollout.strategy,
            status=rollout.status,
            stage=rollout.stage,
            revision=rollout.revision,
            in_use=standing.is_in_use,
            arms=[
                ArmReadiness(
                    name=arm.name,
                    version=arm.version,
                    share=arm.share_bp / SHARES_BP,
                    loaded=standing.loaded[arm.name],
                    refused=[standing.refused[arm.version]]
                    if arm.version in standing.refused
                    else [],
                )
                for arm in rollout.arms
            ],
        )


class ReadyAnswer(Answer):
    """Whether predictions are answered in full: with stored features and a model."""

    ready: bool
    reasons: list[str] = Field(description="why not; empty when ready")
    redis: RedisReadiness
    model: ModelReadiness
    rollout: RolloutReadiness | None = Field(description="the active rollout; null without one")
    worker: int = Field(description="process id of the worker that answers, for itself")

    @classmethod
    def of(
        cls,
        *,
        redis_failure: str | None,
        model: ModelRef,
        refused: Mapping[str, str],
        worker: int,
        degraded: Sequence[str] = (),
        rollout: RolloutStanding | None = None,
    ) -> Self:
        """Build the answer.

        Args:
            redis_failure: why Redis does not answer; None when it does.
            model: the model that decides now.
            refused: the versions that were refused, each with its reason.
            worker: the process that answers.
            degraded: what the decisions of the model say.
            rollout: the active one, as far as the process has it.
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
                loaded=is_loaded,
                model=ModelAnswer.of(model),
                refused=dict(refused),
                degraded=list(degraded),
            ),
            rollout=None if rollout is None else RolloutReadiness.of(rollout),
            worker=worker,
        )


HEALTH_EXAMPLE = HealthAnswer(status="live")
_REFUSED = {"3": "GoldenRowsMismatchError: golden row 0 scores 0.2, recorded was 0.4"}
READY_EXAMPLE = ReadyAnswer.of(
    redis_failure=None,
    model=EXAMPLE_MODEL,
    refused={},
    worker=4711,
    rollout=RolloutStanding(
        EXAMPLE_ROLLOUT, is_in_use=True, loaded={"control": True, "challenger": True}, refused={}
    ),
)
NOT_READY_EXAMPLE = ReadyAnswer.of(
    redis_failure=None,
    model=ModelRef(name=HEURISTIC_NAME, version="rules-1", digest="0fb15af7c48e9c47"),
    refused=_REFUSED,
    worker=4711,
    rollout=RolloutStanding(
        EXAMPLE_ROLLOUT,
        is_in_use=False,
        loaded={"control": False, "challenger": True},
        refused=_REFUSED,
    ),
)
