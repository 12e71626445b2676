"""The bodies of the API's answers: one model an answer, its builder and its example beside it.

FastAPI validates, documents and serialises these models. Builders are pure: they get what was
scored or what is stored and know nothing of HTTP. Called by the routes in `scoring.http.routes`.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from features.definitions import FEATURE_NAMES, USER_FEATURES
from schemas.decision import ModelRef
from schemas.rollout import CONTROL, Arm, Rollout

FeatureValues = dict[str, int | float | None]
"""Name of a feature to its value; null means there is no value."""

ApproximateNames = Annotated[
    list[str],
    Field(
        description="names of the features that may not be exact: very many events, an event time "
        "more than a day before the newest event, or history that could not be read"
    ),
]
DefinitionDigest = Annotated[
    str, Field(description="digest of the feature definitions the values were computed by")
]


class Answer(BaseModel):
    """Base of every answer: a field that is not declared is an error."""

    model_config = ConfigDict(extra="forbid")


class ModelAnswer(Answer):
    """The model that scored."""

    name: str
    version: str
    digest: str

    @classmethod
    def of(cls, ref: ModelRef) -> Self:
        """Build the answer from a reference to a model."""
        return cls(name=ref.name, version=ref.version, digest=ref.digest)


# --- values that several examples share ---------------------------------------------------

EXAMPLE_NOW_MS = 1_795_478_400_000
EXAMPLE_MODEL = ModelRef(name="weir-fraud", version="3", digest="9f2c4e1ab07d6655")
EXAMPLE_ROLLOUT = Rollout(
    rollout_id="v8",
    revision=1,
    model_name=EXAMPLE_MODEL.name,
    strategy="canary",
    status="running",
    arms=(Arm(CONTROL, EXAMPLE_MODEL.version, 9_500), Arm("challenger", "8", 500)),
    salt="0f3a",
    started_at_ms=EXAMPLE_NOW_MS,
    stage_since_ms=EXAMPLE_NOW_MS,
)
# No value is null: FastAPI drops nulls from examples, and a required field would be missing.
EXAMPLE_FEATURES: FeatureValues = {
    **dict.fromkeys(FEATURE_NAMES, 0),
    **{
        feature.name: {"count": 1, "sum": 4250, "mean": 4250.0, "distinct": 1}[feature.aggregate]
        for feature in USER_FEATURES
    },
}
