"""What the API takes and gives, for its OpenAPI document and its tests.

The models describe; they are not on the hot path. Bodies are decoded by `schemas.codec` (one
strictness for the stream and for HTTP), answers are encoded by orjson. Tests check every
answer of every route against them, and the examples against the routes.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from features.batch import NO_HISTORY
from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES, MERCHANT_FEATURES, USER_FEATURES
from schemas.decision import Decision
from schemas.json_schema import schema_of
from schemas.transaction import Transaction

DESCRIPTION = """\
Scores of ad-hoc transactions, features as of now, and first decisions of the stream.

Nothing asked here is stored or emitted: what shall count goes to the topic `transactions`.
Every refusal is a problem (RFC 9457) that names the field, the value and the limit.
"""

FeatureValues = dict[str, int | float | None]
Responses = dict[int | str, dict[str, Any]]

_APPROXIMATE = "names of the features that are approximate, within the published bound"
_DIGEST = "digest of the feature definitions the values were computed by"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(_Answer):
    """Why there is no answer, as problem details (RFC 9457)."""

    title: str = Field(description="what kind of problem; the same text for the same kind")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what is wrong, with the value and the limit")
    field: str | None = Field(default=None, description="the field that is wrong, if it is one")


class ModelAnswer(_Answer):
    """Which model scored."""

    name: str
    version: str
    digest: str


class Ages(_Answer):
    """Time since the last folded event of each entity, in ms; null for no history.

    ``batch`` counts from the snapshot of the batch features; null where there are none.
    """

    user: int | None = Field(ge=0)
    merchant: int | None = Field(ge=0)
    batch: int | None = Field(ge=0)


class PredictAnswer(_Answer):
    """The score of an ad-hoc transaction. Nothing is stored, nothing is emitted."""

    transaction_id: str = Field(description="as sent, or generated (adhoc-...)")
    score: float = Field(ge=0, le=1)
    decision: Literal["APPROVE", "REVIEW", "BLOCK"]
    model_version: str = Field(description="the same as model.version")
    model: ModelAnswer
    latency_ms: float = Field(ge=0, description="time spent on this request in the service")
    reasons: list[str] = Field(description="what led to the decision, for people")
    degraded: list[str] = Field(description="what the answer had to do without; empty is good")
    features: FeatureValues
    approximate: list[str] = Field(description=_APPROXIMATE)
    vector: list[float | None] | None = Field(
        description="the exact input of the model; null where no model scored"
    )
    feature_age_ms: Ages
    batch_as_of_ms: int | None = Field(
        description="the snapshot that batch features are as of; null where none were scored"
    )
    event_time_ms: int = Field(description="as sent, or the time of the request")
    definition_digest: str = Field(description=_DIGEST)


class EntityAnswer(_Answer):
    """The stored features of one entity, evaluated as of ``as_of_ms``."""

    age_ms: int | None = Field(ge=0, description="ms since the last folded event; null for none")
    sequence: int = Field(ge=0, description="events folded so far; grows by one each")
    approximate: list[str] = Field(description=_APPROXIMATE)
    features: FeatureValues


class MerchantAnswer(EntityAnswer):
    """The stored features of the merchant that was asked for."""

    merchant_id: str


class BatchAnswer(_Answer):
    """The features of a user that are computed once a day, as of a midnight in UTC."""

    as_of_ms: int | None = Field(description="the snapshot; null where nothing is known")
    age_ms: int | None = Field(ge=0, description="ms since the snapshot; null for none")
    degraded: list[str] = Field(description="why nothing is known; empty is good")
    features: FeatureValues


class FeaturesAnswer(EntityAnswer):
    """The features of a user as of now."""

    user_id: str
    as_of_ms: int = Field(description="the time the values are for")
    batch: BatchAnswer
    definition_digest: str = Field(description=_DIGEST)
    merchant: MerchantAnswer | None = Field(description="null when no merchant_id was given")


class HealthAnswer(_Answer):
    """The process answers."""

    status: Literal["live"]


class RedisReadiness(_Answer):
    """Whether the online store answers within its limit."""

    reachable: bool


class ModelReadiness(_Answer):
    """Which model decides."""

    loaded: bool = Field(description="false: no version passed its checks, the heuristic decides")
    model: ModelAnswer
    refused: dict[str, str] = Field(description="versions that are not put to use, and why")


class ReadyAnswer(_Answer):
    """Whether predictions are answered in full: stored features and a model."""

    ready: bool
    reasons: list[str] = Field(description="why not; empty when ready")
    redis: RedisReadiness
    model: ModelReadiness


# --- examples and responses ------------------------------------------------------------

# No nulls: FastAPI leaves them out of examples, and a field would be missing.
_NOW_MS = 1_795_478_400_000
_MODEL = {"name": "weir-fraud", "version": "3", "digest": "9f2c4e1ab07d6655"}
_FEATURES = dict.fromkeys(FEATURE_NAMES, 0) | {
    feature.name: {"count": 1, "sum": 4250, "mean": 4250.0, "distinct": 1}[feature.aggregate]
    for feature in USER_FEATURES
}
_LEAST = {"user_id": "u-1", "merchant_id": "m-1", "amount_minor": 4250, "currency": "EUR"}

_PREDICT_EXAMPLE = {
    "transaction_id": "adhoc-5b0c8de1f0c14c2a9d5b2f6f3a1e7c44",
    "score": 0.0312,
    "decision": "APPROVE",
    "model_version": "3",
    "model": _MODEL,
    "latency_ms": 1.412,
    "reasons": ["score 0.031 is not above 0.5"],
    "degraded": [],
    "features": _FEATURES,
    "approximate": [],
    "vector": [4250.0, 1.0, 0.0],
    "feature_age_ms": {"user": 2_678_400_000, "merchant": 1_200, "batch": 7_200_000},
    "batch_as_of_ms": _NOW_MS - 7_200_000,
    "event_time_ms": _NOW_MS,
    "definition_digest": DEFINITION_DIGEST,
}
_FEATURES_EXAMPLE = {
    "user_id": "u-1",
    "as_of_ms": _NOW_MS,
    "age_ms": 5210,
    "sequence": 17,
    "approximate": [],
    "features": {feature.name: _FEATURES[feature.name] for feature in USER_FEATURES},
    "batch": {
        "as_of_ms": _NOW_MS - 7_200_000,
        "age_ms": 7_200_000,
        "degraded": [],
        "features": dict.fromkeys(NO_HISTORY, 1.0),
    },
    "definition_digest": DEFINITION_DIGEST,
    "merchant": {
        "merchant_id": "m-1",
        "age_ms": 1_200,
        "sequence": 230,
        "approximate": [],
        "features": {feature.name: 0 for feature in MERCHANT_FEATURES},
    },
}
_DECISION_EXAMPLE = {
    "transaction_id": "t-1",
    "user_id": "u-1",
    "decision": "APPROVE",
    "score": 0.0312,
    "model": _MODEL,
    "features": _FEATURES,
    "vector": [4250.0, 1.0, 0.0],
    "features_offset": {"partition": 2, "offset": 8121},
    "definition_digest": DEFINITION_DIGEST,
    "approximate": [],
    "degraded": [],
    "reasons": ["score 0.031 is not above 0.5"],
    "event_time_ms": _NOW_MS,
    "timings": {
        "transaction_timestamp_ms": _NOW_MS + 2,
        "features_at_ms": _NOW_MS + 6,
        "scored_at_ms": _NOW_MS + 9,
    },
    "decided_at_ms": _NOW_MS + 9,
    "batch_as_of_ms": _NOW_MS - 7_200_000,
}
_READY_EXAMPLE = {
    "ready": True,
    "reasons": [],
    "redis": {"reachable": True},
    "model": {"loaded": True, "model": _MODEL, "refused": {}},
}
_NOT_READY_EXAMPLE = {
    "ready": False,
    "reasons": ["no model is loaded: the heuristic decides"],
    "redis": {"reachable": True},
    "model": {
        "loaded": False,
        "model": {"name": "heuristic", "version": "rules-1", "digest": "0fb15af7c48e9c47"},
        "refused": {"3": "GoldenRowsMismatchError: golden row 0 scores 0.2, recorded was 0.4"},
    },
}
_PROBLEM_EXAMPLES: dict[int, tuple[str, str, str | None]] = {
    404: ("not found", "no history for user 'u-9'", None),
    408: ("request too slow", "the body was not complete in 5 s", None),
    413: ("body too large", "the body is over 65536 bytes", None),
    422: ("invalid event", "amount_minor is -1, limit 0", "amount_minor"),
    503: (
        "temporarily unavailable",
        "reading entities of user 'u-1' from Redis failed within redis_timeout_ms=50: TimeoutError",
        None,
    ),
}


def predict_body() -> dict[str, Any]:
    """Describe the body of POST /predict: a transaction, two fields of which may be left out."""
    schema = schema_of(Transaction)
    properties = schema["properties"]
    for name in ("transaction_id", "event_time_ms"):
        schema["required"].remove(name)
        properties[name]["type"] = [properties[name]["type"], "null"]
    properties["transaction_id"]["description"] = "Any id; generated when left out."
    properties["event_time_ms"]["description"] += " The time of the request when left out."
    examples = {
        "now": {
            "summary": "as of now",
            "value": {**_LEAST, "device_type": "mobile", "ip_country": "DE"},
        },
        "least": {"summary": "the least there is to say", "value": _LEAST},
    }
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


def problems(*statuses: int) -> Responses:
    """Describe the problems a route may answer with."""
    return {status: _problem(status, *_PROBLEM_EXAMPLES[status]) for status in statuses}


def _problem(status: int, title: str, detail: str, field: str | None) -> dict[str, Any]:
    example: dict[str, Any] = {"title": title, "status": status, "detail": detail}
    if field is not None:
        example["field"] = field
    media = {"schema": Problem.model_json_schema(), "example": example}
    return {"description": title, "content": {"application/problem+json": media}}


def _answer(description: str, model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"example": example}}
    return {"description": description, "model": model, "content": content}


PREDICT: Responses = {
    200: _answer("the score", PredictAnswer, _PREDICT_EXAMPLE),
    **problems(408, 413, 422),
}
FEATURES: Responses = {
    200: _answer("the values as of now", FeaturesAnswer, _FEATURES_EXAMPLE),
    **problems(404, 422, 503),
}
DECISION: Responses = {
    200: {
        "description": "the decision, byte for byte as it is on the topic `decisions`",
        "content": {
            "application/json": {"schema": schema_of(Decision), "example": _DECISION_EXAMPLE}
        },
    },
    **problems(404, 422, 503),
}
HEALTH: Responses = {200: _answer("the process lives", HealthAnswer, {"status": "live"})}
READY: Responses = {
    200: _answer("ready", ReadyAnswer, _READY_EXAMPLE),
    503: _answer("not ready; see reasons", ReadyAnswer, _NOT_READY_EXAMPLE),
}
METRICS: Responses = {
    200: {
        "description": "one metric a line, with its help",
        "content": {
            "text/plain": {
                "schema": {"type": "string"},
                "example": 'api_requests_total{route="/predict",status="200"} 17.0\n',
            }
        },
    }
}
