"""The bodies of the routes of rollouts: what to start, who asks and why."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, NamedTuple, get_args

from fastapi import Request

from schemas.field_readers import read_text, refuse
from schemas.json_schema import schema_of
from schemas.rollout import SHARES_BP, LetThroughRule, Limits, LossWeights, Plan, Strategy
from schemas.strict_json import parse_object
from scoring.core.rollout_changes import Start
from scoring.core.rollout_request import (
    NAME_LENGTH_MAX,
    REASON_LENGTH_MAX,
    read_start,
)
from scoring.http.predict_request import BODY_BYTES_MAX, read_body

_AUTHOR: Final = {
    "by": {
        "type": "string",
        "minLength": 1,
        "maxLength": NAME_LENGTH_MAX,
        "description": "Who asks, kept with the change; the id of the API key if left out.",
    },
    "reason": {
        "type": "string",
        "minLength": 1,
        "maxLength": REASON_LENGTH_MAX,
        "description": "Why, a sentence, kept with the change.",
    },
}


class Asked(NamedTuple):
    """A change that is asked for.

    Attributes:
        by: who asks.
        reason: why.
        arm: an arm that is named, if the route takes one.
    """

    by: str
    reason: str
    arm: str | None


async def read_change(request: Request, *, arm_field: str | None, default_reason: str) -> Asked:
    """Read the body of a change; an empty body is one without fields.

    Raises:
        InvalidEventError: it is no JSON object, or a field is wrong or not known.
        HTTPException: 413 or 408, the body is too large or too slow.
    """
    body = await read_body(request, bytes_max=BODY_BYTES_MAX)
    obj = parse_object(body) if body.strip() else {}
    known = ("by", "reason", *([arm_field] if arm_field else ()))
    for name in obj:
        if name not in known:
            refuse(name, f"is not known; known are {', '.join(known)}")
    has_arm = arm_field is not None and obj.get(arm_field) is not None
    return Asked(
        *_author(request, obj, default_reason),
        read_text(obj, arm_field, NAME_LENGTH_MAX) if has_arm and arm_field else None,
    )


async def read_start_request(request: Request) -> tuple[Start, Asked]:
    """Read the body of a start.

    Raises:
        InvalidEventError: a field is missing, wrong or not known.
        HTTPException: 413 or 408, the body is too large or too slow.
    """
    obj = parse_object(await read_body(request, bytes_max=BODY_BYTES_MAX))
    author = _author(request, obj, "started over HTTP")
    wanted = {name: value for name, value in obj.items() if name not in ("by", "reason")}
    return read_start(wanted), Asked(*author, None)


def describe_change(arm_field: str | None, meaning: str = "") -> dict[str, Any]:
    """Give the OpenAPI description of the body of a change."""
    properties = dict(_AUTHOR)
    if arm_field is not None:
        properties[arm_field] = {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": NAME_LENGTH_MAX,
            "description": meaning,
        }
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    example = {"by": "ana", "reason": "the labels of last week are late"}
    return {
        "required": False,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def describe_start() -> dict[str, Any]:
    """Give the OpenAPI description of the body of a start."""
    text = {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH_MAX}
    parts = {"plan": Plan, "limits": Limits, "loss": LossWeights, "let_through": LetThroughRule}
    schema = {
        "type": "object",
        "required": ["rollout_id", "strategy"],
        "additionalProperties": False,
        "properties": {
            "rollout_id": {**text, "description": "Name of the rollout: a-z, 0-9, dot, dash."},
            "strategy": {"type": "string", "enum": list(get_args(Strategy))},
            "challenger": {**text, "description": "Version to let in."},
            "challengers": {
                "type": "object",
                "additionalProperties": text,
                "description": "A bandit: version of each arm beside the control, by its name.",
            },
            "challenger_share_bp": {
                "type": "integer",
                "minimum": 0,
                "maximum": SHARES_BP,
                "description": "A/B: share of the challenger, in hundredths of a percent.",
            },
            **{name: _optional(kind) for name, kind in parts.items()},
            **_AUTHOR,
        },
    }
    example = {
        "rollout_id": "v8",
        "strategy": "canary",
        "challenger": "8",
        "plan": {"stage_ms_min": 7_200_000},
        "by": "ana",
        "reason": "version 8 has better figures",
    }
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _optional(kind: type) -> dict[str, Any]:
    assert dataclasses.is_dataclass(kind)
    return {**schema_of(kind), "required": [], "additionalProperties": False}


def _author(request: Request, obj: dict[str, Any], default_reason: str) -> tuple[str, str]:
    key_id = getattr(request.state, "key_id", None)
    return (
        read_text(obj, "by", NAME_LENGTH_MAX)
        if "by" in obj
        else ("the API" if key_id is None else f"API key {key_id}"),
        read_text(obj, "reason", REASON_LENGTH_MAX) if "reason" in obj else default_reason,
    )
