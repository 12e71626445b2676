"""What the routes are given, as named types: the parts, valid ids.

Every dependency is ``async``: FastAPI runs a plain function in a worker thread, which is slow.
Used by the routes in `scoring.http.routes`.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator

from schemas import codec
from scoring.http.parts import ApiParts


def parts_of(request: Request) -> ApiParts:
    """Give the parts of the application that a request is for."""
    parts: ApiParts = request.app.state.parts
    return parts


def opened_of(request: Request, name: str) -> object:
    """Give what the routes of a model have opened (`scoring.http.model_routes`)."""
    return parts_of(request).opened[name]


async def _parts(request: Request) -> ApiParts:
    return parts_of(request)


Parts = Annotated[ApiParts, Depends(_parts)]
"""The parts of this application."""


UserId = Annotated[
    str,
    AfterValidator(partial(codec.check_id, field="user_id")),
    Path(description="the user's id, 1 to 128 characters"),
]
ModelName = Annotated[str, Path(description="the name of a model, see GET /models")]
TransactionId = Annotated[
    str,
    AfterValidator(partial(codec.check_id, field="transaction_id")),
    Path(description="the transaction's id, 1 to 128 characters"),
]
MerchantId = Annotated[
    Annotated[str, AfterValidator(partial(codec.check_id, field="merchant_id"))] | None,
    Query(description="also give the features of this merchant"),
]
