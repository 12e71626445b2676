"""What FastAPI injects into the routes, as named types: the parts, a valid request, valid ids.

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
from scoring.http.predict_request import PredictRequest, read_predict_request


async def _parts(request: Request) -> ApiParts:
    parts: ApiParts = request.app.state.parts
    return parts


Parts = Annotated[ApiParts, Depends(_parts)]
"""The parts of this application."""


async def _predict_request(request: Request) -> PredictRequest:
    # Calls `_parts` instead of declaring it: one more dependency costs 9 us of a request's 270 us.
    return await read_predict_request(request, await _parts(request))


ValidPredictRequest = Annotated[PredictRequest, Depends(_predict_request)]
"""The body of POST /predict, read and checked."""


UserId = Annotated[
    str,
    AfterValidator(partial(codec.check_id, field="user_id")),
    Path(description="the user's id, 1 to 128 characters"),
]
TransactionId = Annotated[
    str,
    AfterValidator(partial(codec.check_id, field="transaction_id")),
    Path(description="the transaction's id, 1 to 128 characters"),
]
MerchantId = Annotated[
    Annotated[str, AfterValidator(partial(codec.check_id, field="merchant_id"))] | None,
    Query(description="also give the features of this merchant"),
]
