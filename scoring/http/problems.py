"""How the API says no: every error of a request becomes one JSON problem (RFC 9457).

Owns the mapping from error to status. A client's mistake is a 4xx that names field, value and
limit; a part that does not answer is a 503 with ``Retry-After``. A 500 is a bug: it is
logged with its traceback and tells the client nothing of the inside.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from schemas.errors import InvalidEventError, RetryableError, shown

log = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"

RETRY_AFTER_S = 1
"""What a client is told to wait for a part that does not answer; a restart takes about so long."""

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


def problem(
    status: int,
    detail: str,
    *,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Give a problem as a response; ``detail`` says what, the value and the limit."""
    content: dict[str, object] = {
        "title": TITLES.get(status, "error"),
        "status": status,
        "detail": detail,
    }
    if field is not None:
        content["field"] = field
    return Response(
        orjson.dumps(content),
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
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _bug)


async def _invalid(_request: Request, error: Exception) -> Response:
    field = error.field if isinstance(error, InvalidEventError) else None
    return problem(422, str(error), field=field)


async def _invalid_parameter(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):  # pragma: no cover
        raise error
    first = error.errors()[0]
    field = str(first["loc"][-1])
    return problem(422, f"{field} is {shown(first.get('input'))}: {first['msg']}", field=field)


async def _unavailable(_request: Request, error: Exception) -> Response:
    return problem(503, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # pragma: no cover
        raise error
    return problem(error.status_code, error.detail, headers=error.headers)


async def _gone(_request: Request, _error: Exception) -> Response:
    # Nobody reads this; without it a client that hangs up would be logged as a bug.
    return problem(400, "the client closed the connection before the body was complete")


async def _bug(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, "the service has a bug; its log has the details")
