"""What the API's answers look like, for its OpenAPI document and its tests.

These models describe; they are not on the hot path. Bodies are decoded by `schemas.codec`
(one strictness for the stream and for HTTP) and answers are encoded by orjson. Tests check
every answer of every route against them, and the examples against the codec.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.decision import Decision
from schemas.json_schema import schema_of
from schemas.transaction import Transaction

FeatureValues = dict[str, int | float | None]
Outcomes = Literal["APPROVE", "REVIEW", "BLOCK"]

_APPROXIMATE = "names of the features that are approximate, within the published bound"
_DIGEST = "digest of the feature definitions the values were computed by"

EXAMPLE_TRANSACTION = {
    "user_id": "u-1",
    "merchant_id": "m-1",
    "amount_minor": 4250,
    "currency": "EUR",
    "device_type": "mobile",
    "ip_country": "DE",
}
_EXAMPLE_DIGEST = "0d6f3a9b5c7e1248"


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
    """Time since the last folded event of each entity, in ms; null for no history."""

    user: int | None = Field(ge=0)
    merchant: int | None = Field(ge=0)


class PredictAnswer(_Answer):
    """The score of an ad-hoc transaction. Nothing is stored, nothing is emitted."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "transaction_id": "adhoc-5b0c8de1f0c14c2a9d5b2f6f3a1e7c44",
                "score": 0.0312,
                "decision": "APPROVE",
                "model_version": "3",
                "model": {"name": "weir-fraud", "version": "3", "digest": "9f2c4e1ab07d6655"},
                "latency_ms": 1.412,
                "reasons": ["no history for merchant 'm-1'"],
                "degraded": [],
                "features": {"user_transaction_count_5m": 1, "user_amount_sum_5m": 4250},
                "approximate": [],
                "feature_age_ms": {"user": 5210, "merchant": None},
                "event_time_ms": 1_795_478_400_000,
                "definition_digest": _EXAMPLE_DIGEST,
            }
        },
    )

    transaction_id: str = Field(description="as sent, or generated (adhoc-...)")
    score: float = Field(ge=0, le=1)
    decision: Outcomes
    model_version: str = Field(description="the same as model.version")
    model: ModelAnswer
    latency_ms: float = Field(ge=0, description="time spent on this request in the service")
    reasons: list[str] = Field(description="what led to the decision, for people")
    degraded: list[str] = Field(description="what the answer had to do without; empty is good")
    features: FeatureValues
    approximate: list[str] = Field(description=_APPROXIMATE)
    feature_age_ms: Ages
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


class FeaturesAnswer(EntityAnswer):
    """The features of a user as of now."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "user_id": "u-1",
                "as_of_ms": 1_795_478_400_000,
                "age_ms": 5210,
                "sequence": 17,
                "approximate": [],
                "definition_digest": _EXAMPLE_DIGEST,
                "features": {"user_transaction_count_5m": 1, "user_amount_sum_5m": 4250},
                "merchant": None,
            }
        },
    )

    user_id: str
    as_of_ms: int = Field(description="the time the values are for")
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


DESCRIPTION = """\
Scores of ad-hoc transactions, features as of now, and first decisions of the stream.

Nothing asked here is stored or emitted: what shall count goes to the topic `transactions`.
Every refusal is a problem (RFC 9457) that names the field, the value and the limit.
"""


def _predict_body() -> dict[str, Any]:
    schema = schema_of(Transaction)
    for name in ("transaction_id", "event_time_ms"):
        schema["required"].remove(name)
        schema["properties"][name]["type"] = [schema["properties"][name]["type"], "null"]
    schema["properties"]["transaction_id"]["description"] = "Generated when left out."
    schema["properties"]["event_time_ms"]["description"] += " The time of the request if left out."
    examples = {
        "now": {"summary": "as of now", "value": EXAMPLE_TRANSACTION},
        "least": {
            "summary": "the least there is to say",
            "value": {
                "user_id": "u-1",
                "merchant_id": "m-1",
                "amount_minor": 4250,
                "currency": "EUR",
            },
        },
    }
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


PREDICT_BODY = _predict_body()
"""The body of POST /predict: a transaction, with two fields that may be left out."""

DECISION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the decision, byte for byte as it is on the topic `decisions`",
        "content": {
            "application/json": {
                "schema": schema_of(Decision),
                "example": {
                    "transaction_id": "t-1",
                    "user_id": "u-1",
                    "decision": "APPROVE",
                    "score": 0.0312,
                    "model": {"name": "weir-fraud", "version": "3", "digest": "9f2c4e1ab07d6655"},
                    "features": {"user_transaction_count_5m": 1, "user_amount_sum_5m": 4250},
                    "vector": [4250.0, 1.0, None],
                    "features_offset": {"partition": 2, "offset": 8121},
                    "definition_digest": _EXAMPLE_DIGEST,
                    "approximate": [],
                    "degraded": [],
                    "reasons": ["score 0.031 is not above 0.5"],
                    "event_time_ms": 1_795_478_400_000,
                    "timings": {
                        "transaction_timestamp_ms": 1_795_478_400_002,
                        "features_at_ms": 1_795_478_400_006,
                        "scored_at_ms": 1_795_478_400_009,
                    },
                    "decided_at_ms": 1_795_478_400_009,
                },
            }
        },
    }
}
METRICS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "one metric a line, with its help",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}

_PROBLEMS: dict[int, tuple[str, str, str | None]] = {
    404: ("not found", "no history for user 'u-9'", None),
    413: ("body too large", "the body is over 65536 bytes", None),
    422: ("invalid event", "amount_minor is -1, limit 0", "amount_minor"),
    503: (
        "temporarily unavailable",
        "reading entities of user 'u-1' from Redis failed within redis_timeout_ms=50: timed out",
        None,
    ),
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems a route may answer with, for FastAPI's ``responses``."""
    return {status: _problem(status, *_PROBLEMS[status]) for status in statuses}


def _problem(status: int, title: str, detail: str, field: str | None) -> dict[str, Any]:
    example: dict[str, Any] = {"title": title, "status": status, "detail": detail}
    if field is not None:
        example["field"] = field
    media = {"schema": Problem.model_json_schema(), "example": example}
    return {"description": title, "content": {"application/problem+json": media}}
