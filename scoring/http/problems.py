"""Error responses of the API: every error of a request becomes one JSON problem (RFC 9457).

Owns the mapping from error to status. A client's mistake is a 4xx that names field, value and
limit; a part that does not answer is a 503 with ``Retry-After``. A 500 is a bug: it is logged
with its traceback, and the client learns nothing about the inside.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from schemas.errors import InvalidEventError, RetryableError, shown

log = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"

RETRY_AFTER_S = 1
"""What a client is told to wait for a part that does not answer. A restart takes about as long."""

TITLES: Mapping[int, str] = {
    400: "bad request",
    404: "not found",
    405: "method not allowed",
    408: "request too slow",
    413: "body too large",
    422: "invalid event",
    500: "internal error",
    503: "temporarily unavailable",
}


class Problem(BaseModel):
    """Why there is no answer, as problem details (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(description="the kind of problem; the same text for the same kind")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what is wrong, with the value and the limit")
    field: str | None = Field(default=None, description="the field that is wrong, if it is one")


def problem_response(
    status: int,
    detail: str,
    *,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build the response for a problem; ``detail`` says what, the value and the limit."""
    problem = Problem(title=TITLES.get(status, "error"), status=status, detail=detail, field=field)
    return Response(
        problem.model_dump_json(exclude_none=True),
        status_code=status,
        media_type=PROBLEM_TYPE,
        headers=dict(headers) if headers else None,
    )


def install_problems(app: FastAPI) -> None:
    """Make every error of a route of ``app`` a problem."""
    app.add_exception_handler(InvalidEventError, _invalid)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(RetryableError, _unavailable)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    app.add_exception_handler(Exception, _bug)


async def _invalid(_request: Request, error: Exception) -> Response:
    field = error.field if isinstance(error, InvalidEventError) else None
    return problem_response(422, str(error), field=field)


async def _invalid_parameter(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):  # pragma: no cover
        raise error
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidEventError):
        return await _invalid(request, cause)
    field = str(first["loc"][-1])
    return problem_response(
        422, f"{field} is {shown(first.get('input'))}: {first['msg']}", field=field
    )


async def _unavailable(_request: Request, error: Exception) -> Response:
    return problem_response(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # pragma: no cover
        raise error
    return problem_response(error.status_code, error.detail, headers=error.headers)


async def _client_gone(_request: Request, _error: Exception) -> Response:
    # Nobody reads this response. Without it, a client that hangs up would be logged as a bug.
    return problem_response(400, "the client closed the connection before the body was complete")


async def _bug(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(500, "the service has a bug; its log has the details")
