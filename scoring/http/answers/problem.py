"""The body of every refusal: problem details (RFC 9457), for a request or for one of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import InvalidEventError

TITLES: Mapping[int, str] = {
    400: "bad request",
    401: "API key needed",
    403: "API key not sufficient",
    404: "not found",
    405: "method not allowed",
    408: "request too slow",
    409: "conflict",
    413: "body too large",
    422: "invalid event",
    429: "too many requests",
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

    @classmethod
    def of_invalid(cls, error: InvalidEventError) -> Self:
        """Build the problem of a transaction that breaks a rule."""
        return cls.of(422, str(error), error.field)
