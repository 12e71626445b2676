"""The bodies of POST /models/{name}/predict and /predict/batch for a model of users.

Checked by the rules of the stream: an id is valid here if it is valid in a transaction. Called by
the routes in `scoring.http.routes.models`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request

from schemas import codec
from schemas.errors import InvalidEventError, shown
from schemas.strict_json import parse_object
from scoring.http.parts import ApiParts
from scoring.http.predict_request import (
    BATCH_BODY_BYTES_MAX,
    BATCH_MAX,
    BODY_BYTES_MAX,
    read_body,
)

_USER_ID: Final = "user_id"
_USER_IDS: Final = "user_ids"
ID_SCHEMA: Final = {"type": "string", "minLength": 1, "maxLength": 128}


@dataclass(frozen=True, slots=True)
class UserRequest:
    """A valid request for scores of users.

    Attributes:
        user_ids: in the order of the answer; one may be there twice.
        now_ms: the clock when the body was complete, ms since 1970 UTC.
        started_s: `time.perf_counter` before the body was read, s.
    """

    user_ids: list[str]
    now_ms: int
    started_s: float


async def read_user_request(request: Request, parts: ApiParts) -> UserRequest:
    """Read the body for one user.

    Raises:
        InvalidEventError: it names no valid user.
        HTTPException: 413 or 408, the body is too large or too slow.
    """
    started_s = time.perf_counter()
    body = parse_object(await read_body(request, bytes_max=BODY_BYTES_MAX))
    return UserRequest([_user_id(body.get(_USER_ID), _USER_ID)], parts.now_ms(), started_s)


async def read_users_request(request: Request, parts: ApiParts) -> UserRequest:
    """Read the body for many users.

    Raises:
        InvalidEventError: it names none, too many, or one that is not valid.
        HTTPException: 413 or 408, the body is too large or too slow.
    """
    started_s = time.perf_counter()
    body = parse_object(await read_body(request, bytes_max=BATCH_BODY_BYTES_MAX))
    found = body.get(_USER_IDS)
    if not isinstance(found, list):
        raise InvalidEventError(_USER_IDS, f"is {shown(found)}, must be a list")
    if not 1 <= len(found) <= BATCH_MAX:
        raise InvalidEventError(_USER_IDS, f"has {len(found)} entries, must have 1 to {BATCH_MAX}")
    users = [_user_id(each, f"{_USER_IDS}[{at}]") for at, each in enumerate(found)]
    return UserRequest(users, parts.now_ms(), started_s)


def describe_user_body() -> dict[str, Any]:
    """Give the OpenAPI description of the body for one user, or for one transaction."""
    schema = {
        "type": "object",
        "title": "Entity",
        "properties": {_USER_ID: {**ID_SCHEMA, "description": "the user to score"}},
        "required": [_USER_ID],
    }
    return _described(schema, {_USER_ID: "u-1"})


def describe_users_body() -> dict[str, Any]:
    """Give the OpenAPI description of the body for many users."""
    users = {"type": "array", "items": ID_SCHEMA, "minItems": 1, "maxItems": BATCH_MAX}
    schema = {
        "type": "object",
        "title": "Entities",
        "properties": {_USER_IDS: {**users, "description": "the users to score"}},
        "required": [_USER_IDS],
    }
    return _described(schema, {_USER_IDS: ["u-1", "u-2"]})


def _described(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _user_id(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidEventError(field, f"is {shown(value)}, must be a string")
    return codec.check_id(value, field=field)
