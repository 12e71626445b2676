"""POST /predict and POST /predict/batch: ad-hoc scores, against the stored history."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from scoring.http.answers import batch
from scoring.http.answers import predict as single
from scoring.http.answers.batch import BatchPredictAnswer
from scoring.http.answers.predict import PredictAnswer
from scoring.http.answers.problem import Problem
from scoring.http.deadline import TRANSACTIONS_EACH, describe_deadline
from scoring.http.deps import parts_of
from scoring.http.openapi import answered, refused
from scoring.http.predict_request import (
    BATCH_BODY_BYTES_MAX,
    BATCH_MAX,
    BODY_BYTES_MAX,
    BODY_TIMEOUT_S,
    describe_batch_body,
    describe_body,
    read_batch_request,
    read_predict_request,
)
from scoring.http.scoped_route import scoped
from scoring.http.scored import answer_all

router = APIRouter(tags=["Scoring"], route_class=scoped("predict"))

_TOO_SLOW = Problem.of(408, f"the body was not complete in {BODY_TIMEOUT_S} s")


# Both take the request itself: as dependencies, its parts and its body would cost 40 us more.
@router.post(
    "/predict",
    response_model=PredictAnswer,
    summary="Score an ad-hoc transaction",
    responses={
        200: answered("the score", single.EXAMPLE),
        **refused(
            _TOO_SLOW,
            Problem.of(413, f"the body is over {BODY_BYTES_MAX} bytes"),
            Problem.of(422, "amount_minor is -1, limit 0", "amount_minor"),
        ),
    },
    openapi_extra={"requestBody": describe_body(), "parameters": [describe_deadline()]},
)
async def predict(request: Request) -> Response:
    """Score a transaction against the stored history, as if it had just arrived.

    The body is a transaction as on the topic `transactions`, checked by the same strict rules;
    `transaction_id` and `event_time_ms` may be left out (generated, now). Nothing is stored
    and nothing is emitted. Without Redis, without a model or without time there is still an
    answer: `degraded` says what was missing.
    """
    parts = parts_of(request)
    asked = await read_predict_request(request, parts)
    (answer,) = await answer_all(request, asked, parts)
    assert isinstance(answer, PredictAnswer)
    return written(answer)


@router.post(
    "/predict/batch",
    response_model=BatchPredictAnswer,
    summary="Score many ad-hoc transactions",
    responses={
        200: answered("a score or a problem for each transaction", batch.EXAMPLE),
        **refused(
            _TOO_SLOW,
            Problem.of(413, f"the body is over {BATCH_BODY_BYTES_MAX} bytes"),
            Problem.of(
                422, f"transactions has 0 entries, must have 1 to {BATCH_MAX}", "transactions"
            ),
        ),
    },
    openapi_extra={"requestBody": describe_batch_body(), "parameters": [describe_deadline()]},
)
async def predict_batch(request: Request) -> Response:
    """Score up to 1,000 transactions, all as of the same instant, as POST /predict scores each.

    One read of Redis and one call of the model serve all of them. An invalid transaction gets a
    problem in its place, and the others get their scores. None of them counts in the history of
    another. A batch has the time of one transaction for each hundred, and counts as one request
    for each hundred.
    """
    parts = parts_of(request)
    asked = await read_batch_request(request, parts)
    if parts.gate is not None:
        further = (len(asked.transactions) - 1) // TRANSACTIONS_EACH
        parts.gate.charge(request.state.key_id, further)
    return written(BatchPredictAnswer.of(await answer_all(request, asked, parts)))


def written(answer: BaseModel) -> Response:
    """Give the answer as JSON; FastAPI would check it a second time before it writes it."""
    return Response(answer.model_dump_json(), media_type="application/json")
