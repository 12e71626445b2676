"""Feature rows and decisions, the records that Weir writes: to bytes and back.

Reading checks that the record is complete and that each field has its type; the values were
checked when the record was made. Every refusal is an ``InvalidEventError``. The velocity job
writes feature rows and the scorer writes decisions; training, parity and the command line read
both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from schemas.codec import read_transaction
from schemas.decision import Decision, ModelRef, Offset, Outcome, PolicyRef, RolloutRef
from schemas.errors import shown
from schemas.feature_row import FeatureRow, Origin
from schemas.field_readers import MISSING, read_text, read_typed, refuse, refuse_type
from schemas.fields import ID_LENGTH_MAX

ROLLOUT_FIELDS = ("rollout", "arm", "propensity", "policy", "model_ms")
"""The last fields of a decision; none of them is written if all are null."""
_NO_ROLLOUT = b"".join(b',"%b":null' % name.encode() for name in ROLLOUT_FIELDS) + b"}"

_FEATURE_TYPES = frozenset({int, float, type(None)})
_INPUT_TYPES = frozenset({int, str})
_OUTCOMES: Mapping[object, Outcome] = {"APPROVE": "APPROVE", "REVIEW": "REVIEW", "BLOCK": "BLOCK"}


def decode_feature_row(value: bytes | None) -> FeatureRow:
    """Read a feature row that Weir wrote.

    Raises:
        InvalidEventError: it is something else, or a field is missing or of another type.
    """
    obj = _parsed(value)
    origin = read_typed(obj, "origin", dict)
    return FeatureRow(
        transaction=read_transaction(read_typed(obj, "transaction", dict)),
        features=_features(obj),
        approximate=_names(obj, "approximate"),
        definition_digest=read_typed(obj, "definition_digest", str),
        repeat=read_typed(obj, "repeat", bool),
        user_sequence=read_typed(obj, "user_sequence", int),
        merchant_sequence=read_typed(obj, "merchant_sequence", int),
        origin=Origin(
            partition=read_typed(origin, "partition", int),
            offset=read_typed(origin, "offset", int),
            timestamp_ms=read_typed(origin, "timestamp_ms", int),
        ),
        computed_at_ms=read_typed(obj, "computed_at_ms", int),
    )


def decode_decision(value: bytes | None) -> Decision:
    """Read a decision that Weir wrote; null in its vector becomes NaN.

    Raises:
        InvalidEventError: it is something else, or a field is missing or of another type.
    """
    obj = _parsed(value)
    model = read_typed(obj, "model", dict)
    place = read_typed(obj, "features_offset", dict)
    return Decision(
        transaction_id=read_text(obj, "transaction_id", ID_LENGTH_MAX),
        user_id=read_text(obj, "user_id", ID_LENGTH_MAX),
        decision=_outcome(obj),
        score=_score(obj),
        model=ModelRef(
            name=read_typed(model, "name", str),
            version=read_typed(model, "version", str),
            digest=read_typed(model, "digest", str),
        ),
        features=_features(obj),
        vector=_vector(obj),
        features_offset=Offset(
            partition=read_typed(place, "partition", int), offset=read_typed(place, "offset", int)
        ),
        definition_digest=read_typed(obj, "definition_digest", str),
        approximate=_names(obj, "approximate"),
        degraded=_names(obj, "degraded"),
        reasons=_names(obj, "reasons"),
        event_time_ms=read_typed(obj, "event_time_ms", int),
        timings=_timings(obj),
        decided_at_ms=read_typed(obj, "decided_at_ms", int),
        batch_as_of_ms=(
            None if obj.get("batch_as_of_ms") is None else read_typed(obj, "batch_as_of_ms", int)
        ),
        # Decisions made before these fields existed are read for as long as they are kept.
        merchant_id=(
            None if obj.get("merchant_id") is None else read_text(obj, "merchant_id", ID_LENGTH_MAX)
        ),
        matched_rules=_names(obj, "matched_rules") if "matched_rules" in obj else (),
        inputs=_inputs(obj),
        vector_spec=_optional_text(obj, "vector_spec"),
        vector_digest=_optional_text(obj, "vector_digest"),
        rollout=_rollout(obj),
        arm=_optional_text(obj, "arm"),
        propensity=_optional_number(obj, "propensity"),
        policy=_policy(obj),
        model_ms=_optional_number(obj, "model_ms"),
    )


def encode_feature_row(row: FeatureRow) -> bytes:
    """Write a feature row as JSON, fields in their order; equal rows give equal bytes."""
    return orjson.dumps(
        {
            "transaction": row.transaction.to_wire(),
            "features": row.features,
            "approximate": row.approximate,
            "definition_digest": row.definition_digest,
            "repeat": row.repeat,
            "user_sequence": row.user_sequence,
            "merchant_sequence": row.merchant_sequence,
            "origin": row.origin,
            "computed_at_ms": row.computed_at_ms,
        }
    )


def encode_decision(decision: Decision) -> bytes:
    """Write a decision as JSON, fields in their order; NaN in its vector becomes null.

    Without a rollout it has none of `ROLLOUT_FIELDS`, which take 70 bytes.
    """
    content = orjson.dumps(decision)
    return content[: -len(_NO_ROLLOUT)] + b"}" if content.endswith(_NO_ROLLOUT) else content


def _parsed(value: bytes | None) -> dict[str, Any]:
    if value is None:
        refuse(None, "is null: a tombstone is not an event")
    try:
        obj = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        refuse(None, f"is not JSON: {error}")
    if type(obj) is not dict:
        refuse(None, f"must be a JSON object, is {shown(obj)}")
    return obj


def _features(obj: Mapping[str, Any]) -> dict[str, int | float | None]:
    features: dict[str, int | float | None] = read_typed(obj, "features", dict)
    if not _FEATURE_TYPES.issuperset(map(type, features.values())):
        name = next(n for n, v in features.items() if type(v) not in _FEATURE_TYPES)
        refuse("features", f"has {shown(features[name])} for {shown(name)}, must be a number")
    return features


def _names(obj: Mapping[str, Any], field: str) -> tuple[str, ...]:
    names = read_typed(obj, field, list)
    if not all(type(name) is str for name in names):
        refuse(field, "must be a list of text")
    return tuple(names)


def _outcome(obj: Mapping[str, Any]) -> Outcome:
    text = read_typed(obj, "decision", str)
    outcome = _OUTCOMES.get(text)
    if outcome is None:
        refuse("decision", f"is {shown(text)}, must be one of {', '.join(map(str, _OUTCOMES))}")
    return outcome


def _score(obj: Mapping[str, Any]) -> float:
    score = obj.get("score", MISSING)
    if type(score) not in (float, int):
        refuse_type("score", score, "a number")
    if not 0 <= score <= 1:
        refuse("score", f"is {shown(score)}, limits 0 and 1")
    return float(score)


def _vector(obj: Mapping[str, Any]) -> list[float] | None:
    vector = obj.get("vector", MISSING)
    if vector is None:
        return None
    if type(vector) is not list or not _FEATURE_TYPES.issuperset(map(type, vector)):
        refuse_type("vector", vector, "a list of numbers, or null")
    return [math.nan if number is None else float(number) for number in vector]


def _inputs(obj: Mapping[str, Any]) -> dict[str, int | str] | None:
    if obj.get("inputs") is None:
        return None
    inputs: dict[str, int | str] = read_typed(obj, "inputs", dict)
    if not _INPUT_TYPES.issuperset(map(type, inputs.values())):
        refuse_type("inputs", inputs, "whole numbers and texts by name, or null")
    return inputs


def _optional_text(obj: Mapping[str, Any], field: str) -> str | None:
    return None if obj.get(field) is None else read_typed(obj, field, str)


def _rollout(obj: Mapping[str, Any]) -> RolloutRef | None:
    if obj.get("rollout") is None:
        return None
    rollout = read_typed(obj, "rollout", dict)
    return RolloutRef(
        id=read_typed(rollout, "id", str), revision=read_typed(rollout, "revision", int)
    )


def _policy(obj: Mapping[str, Any]) -> PolicyRef | None:
    if obj.get("policy") is None:
        return None
    policy = read_typed(obj, "policy", dict)
    if policy.get("name") != "let_through":
        refuse("policy", f"has the name {shown(policy.get('name'))}, must be let_through")
    propensity = _optional_number(policy, "propensity")
    if propensity is None:
        refuse("policy", "lacks propensity")
    return PolicyRef(name="let_through", propensity=propensity)


def _optional_number(obj: Mapping[str, Any], field: str) -> float | None:
    number = obj.get(field)
    if number is None:
        return None
    if type(number) not in (float, int):
        refuse_type(field, number, "a number, or null")
    return float(number)


def _timings(obj: Mapping[str, Any]) -> dict[str, int]:
    timings: dict[str, int] = read_typed(obj, "timings", dict)
    if not all(type(time_ms) is int for time_ms in timings.values()):
        refuse("timings", "must be a name and a time in ms, each")
    return timings
