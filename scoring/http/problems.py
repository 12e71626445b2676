"""Error responses of the API: every error of a request becomes one JSON problem (RFC 9457).

Owns the mapping from error to status. A client's mistake is a 4xx that names field, value and
limit; a part that does not answer is a 503 with ``Retry-After``. A 500 is a bug: it is logged
with its traceback, and the client learns nothing about the inside.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Self

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
    """The reason why there is no answer, as problem details (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(description="the kind of problem; the same text for the same kind")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what is wrong, with the value and the limit")
    field: str | None = Field(default=None, description="the field that is wrong, if it is one")

    @classmethod
    def of(cls, status: int, detail: str, field: str | None = None) -> Self:
        """Build a problem whose title is that of its status."""
        return cls(title=TITLES.get(status, "error"), status=status, detail=detail, field=field)

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Build the response; a problem without a field leaves it out."""
        return Response(
            self.model_dump_json(exclude_none=True),
            status_code=self.status,
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
    return Problem.of(422, str(error), field).response()


async def _invalid_parameter(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):  # pragma: no cover
        raise error
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidEventError):
        return await _invalid(request, cause)
    field = str(first["loc"][-1])
    detail = f"{field} is {shown(first.get('input'))}: {first['msg']}"
    return Problem.of(422, detail, field).response()


async def _unavailable(_request: Request, error: Exception) -> Response:
    return Problem.of(503, str(error)).response({"Retry-After": str(RETRY_AFTER_S)})


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # pragma: no cover
        raise error
    return Problem.of(error.status_code, error.detail).response(error.headers)


async def _client_gone(_request: Request, _error: Exception) -> Response:
    # This response is never read. Without it, a client that hangs up would be logged as a bug.
    detail = "the client closed the connection before the body was complete"
    return Problem.of(400, detail).response()


async def _bug(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Problem.of(500, "the service has a bug; its log has the details").response()
