"""How routes describe their responses in the OpenAPI document: an example for each status.

Examples are instances of the answer models, so an example that breaks its model fails at import.
Called by the routes in `scoring.http.routes`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from scoring.http.problems import PROBLEM_TYPE, TITLES, Problem

DESCRIPTION = """\
Scores of ad-hoc transactions, features as of now, and first decisions of the stream.

Nothing asked here is stored or emitted: a transaction that should count goes to the topic
`transactions`. Every refusal is a problem (RFC 9457) that names the field, the value and the limit.
"""

Responses = dict[int | str, dict[str, Any]]

_DETAILS: dict[int, tuple[str, str | None]] = {
    404: ("no history for user 'u-9'", None),
    408: ("the body was not complete in 5 s", None),
    413: ("the body is over 65536 bytes", None),
    422: ("amount_minor is -1, limit 0", "amount_minor"),
    503: (
        "reading entities of user 'u-1' from Redis failed within redis_timeout_ms=50: TimeoutError",
        None,
    ),
}


def answered(description: str, example: BaseModel) -> dict[str, Any]:
    """Describe a response whose body is an instance of the example's model."""
    content = {"application/json": {"example": example.model_dump(mode="json")}}
    return {"description": description, "model": type(example), "content": content}


def refused(*statuses: int) -> Responses:
    """Describe the problems that a route may answer with."""
    return {status: _refused(status) for status in statuses}


def _refused(status: int) -> dict[str, Any]:
    detail, field = _DETAILS[status]
    example = Problem(title=TITLES[status], status=status, detail=detail, field=field)
    media = {
        "schema": Problem.model_json_schema(),
        "example": example.model_dump(exclude_none=True),
    }
    return {"description": TITLES[status], "content": {PROBLEM_TYPE: media}}
