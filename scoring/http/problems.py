"""Error responses of the API: every error of a request becomes one JSON problem (RFC 9457).

Owns the mapping from error to status; `scoring.http.answers.problem` has the body. A client's
mistake is a 4xx that names field, value and limit; a part that does not answer is a 503 with
``Retry-After``. A 500 is a bug: it is logged with its traceback, and tells nothing of the inside.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from schemas.errors import InvalidEventError, RetryableError, shown
from scoring.http.answers.problem import Problem
from scoring.http.trace_context import context_of

log = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"

RETRY_AFTER_S = 1
"""What a client is told to wait for a part that does not answer. A restart takes about as long."""


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Build the response; a problem without a field leaves it out."""
    return Response(
        problem.model_dump_json(exclude_none=True),
        status_code=problem.status,
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
    if not isinstance(error, InvalidEventError):  # pragma: no cover
        raise error
    return respond(Problem.of_invalid(error))


async def _invalid_parameter(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):  # pragma: no cover
        raise error
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidEventError):
        return await _invalid(request, cause)
    field = str(first["loc"][-1])
    detail = f"{field} is {shown(first.get('input'))}: {first['msg']}"
    return respond(Problem.of(422, detail, field))


async def _unavailable(_request: Request, error: Exception) -> Response:
    return respond(Problem.of(503, str(error)), {"Retry-After": str(RETRY_AFTER_S)})


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # pragma: no cover
        raise error
    return respond(Problem.of(error.status_code, error.detail), error.headers)


async def _client_gone(_request: Request, _error: Exception) -> Response:
    # This response is never read. Without it, a client that hangs up would be logged as a bug.
    detail = "the client closed the connection before the body was complete"
    return respond(Problem.of(400, detail))


async def _bug(request: Request, error: Exception) -> Response:
    with context_of(request) as headers:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return respond(Problem.of(500, "the service has a bug; its log has the details"), headers)
