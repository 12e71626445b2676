"""GET /decisions: the first decision about a transaction, as the scorer emitted it."""

from __future__ import annotations

import orjson
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from schemas.errors import shown
from schemas.output_codec import encode_decision
from scoring.http.answers.decision import EXAMPLE, SCHEMA
from scoring.http.answers.problem import Problem
from scoring.http.deps import Parts, TransactionId
from scoring.http.openapi import refused
from scoring.http.scoped_route import scoped

router = APIRouter(tags=["Scoring"], route_class=scoped("read"))

_DECISION = {
    "description": "the decision, byte for byte as it is on the topic `decisions`",
    "content": {
        "application/json": {"schema": SCHEMA, "example": orjson.loads(encode_decision(EXAMPLE))}
    },
}


def _not_found(transaction_id: str) -> str:
    return (
        f"no decision about transaction {shown(transaction_id)}: "
        "not decided yet, or longer ago than decisions are remembered"
    )


@router.get(
    # A transaction's id may contain slashes.
    "/decisions/{transaction_id:path}",
    summary="The first decision about a transaction",
    responses={
        200: _DECISION,
        **refused(
            Problem.of(404, _not_found("t-9")),
            Problem.of(422, "transaction_id is blank: ' '", "transaction_id"),
            Problem.of(
                503,
                "Redis did not give the decision of 't-1' within redis_timeout_ms=50: TimeoutError",
            ),
        ),
    },
)
async def first_decision(transaction_id: TransactionId, parts: Parts) -> Response:
    """Give the first decision about a transaction of the stream, as it was emitted.

    It is remembered for WEIR_DECISION_TTL_S. Ad-hoc scores are not decisions.
    """
    value = await parts.reader.read_decision(transaction_id)
    if value is None:
        raise HTTPException(404, _not_found(transaction_id))
    return Response(value, media_type="application/json")
