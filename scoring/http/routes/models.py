"""GET /models, POST /models/{name}/predict and /predict/batch: the models of the deployment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from models.artifact.load import LoadedModel
from schemas.errors import shown
from scoring.core.errors import FeaturesNotMaterializedError, OnlineStoreUnavailableError
from scoring.core.last_good import without_remarks
from scoring.core.served_model import ServedModel
from scoring.core.user_scores import NoScore, UserScore, score_users
from scoring.http.answers import models as listed
from scoring.http.answers.batch import BatchPredictAnswer
from scoring.http.answers.models import ModelsAnswer, OneModelAnswer
from scoring.http.answers.predict import PredictAnswer
from scoring.http.answers.problem import Problem
from scoring.http.answers.user_predict import (
    BATCH_EXAMPLE,
    EXAMPLE,
    UserBatchPredictAnswer,
    UserPredictAnswer,
    problem_of,
)
from scoring.http.deadline import (
    DEADLINE_HEADER,
    TRANSACTIONS_EACH,
    Deadline,
    describe_deadline,
)
from scoring.http.deps import ModelName, Parts, parts_of
from scoring.http.openapi import Responses, answered, refused
from scoring.http.parts import ApiParts
from scoring.http.predict_request import (
    BATCH_BODY_BYTES_MAX,
    BODY_BYTES_MAX,
    BODY_TIMEOUT_S,
)
from scoring.http.routes import predict as transactions
from scoring.http.scoped_route import scoped
from scoring.http.user_request import (
    UserRequest,
    describe_user_body,
    describe_users_body,
    read_user_request,
    read_users_request,
)

read_router = APIRouter(tags=["Models"], route_class=scoped("read"))
router = APIRouter(tags=["Models"], route_class=scoped("predict"))

_TOO_SLOW: Final = Problem.of(408, f"the body was not complete in {BODY_TIMEOUT_S} s")
_UNKNOWN: Final = Problem.of(404, "there is no model 'chrun'; known are weir-fraud, churn")
_NO_CHAMPION: Final = Problem.of(
    503, "model churn has no champion; `weir train --model churn` makes one"
)


@read_router.get(
    "/models",
    summary="The models of the deployment",
    responses={200: answered("the models", listed.EXAMPLE)},
)
async def models(parts: Parts) -> ModelsAnswer:
    """List the models, what each takes and decides, and the version that scores."""
    answers = []
    for name, definition in parts.definitions.items():
        served = parts.served_models.get(name)
        source = parts.models if served is None else served.source
        model = without_remarks(source.current())
        refusals = parts.refused_models() if served is None else served.refused()
        champion = model.ref if isinstance(model, LoadedModel) else None
        answers.append(OneModelAnswer.of(definition, champion, refusals))
    return ModelsAnswer(models=answers)


def _responses(answer: UserPredictAnswer | UserBatchPredictAnswer, bytes_max: int) -> Responses:
    example = {"application/json": {"example": answer.model_dump(mode="json")}}
    return {
        200: {"description": "the score", "content": example},
        **refused(
            _UNKNOWN,
            _TOO_SLOW,
            Problem.of(413, f"the body is over {bytes_max} bytes"),
            Problem.of(422, "user_id is null, must be a string", "user_id"),
            _NO_CHAMPION,
        ),
    }


# Both take the request itself, as those of transactions do.
@router.post(
    "/models/{name}/predict",
    response_model=UserPredictAnswer | PredictAnswer,
    summary="Score a user by a model",
    responses=_responses(EXAMPLE, BODY_BYTES_MAX),
    openapi_extra={"requestBody": describe_user_body(), "parameters": [describe_deadline()]},
)
async def predict_by(name: ModelName, request: Request) -> Response:
    """Score a user by its features in the online store, as of now.

    One pipelined read of Redis serves the request. Without features or without a champion there is
    no score: the problem says what to do. The model of transactions takes a transaction, as POST
    /predict does.
    """
    parts = parts_of(request)
    if _is_of_transactions(parts, name):
        return await transactions.predict(request)
    served = _served(parts, name)
    asked = await read_user_request(request, parts)
    model, degraded = served.champion_and_degraded()
    (scored,) = await _score(request, asked, parts, served, model)
    if isinstance(scored, NoScore):
        if scored.is_unknown:
            raise HTTPException(404, scored.reason)
        raise FeaturesNotMaterializedError(scored.reason)
    return transactions.written(_answer(scored, model, degraded, asked))


@router.post(
    "/models/{name}/predict/batch",
    response_model=UserBatchPredictAnswer | BatchPredictAnswer,
    summary="Score many users by a model",
    responses=_responses(BATCH_EXAMPLE, BATCH_BODY_BYTES_MAX),
    openapi_extra={"requestBody": describe_users_body(), "parameters": [describe_deadline()]},
)
async def predict_batch_by(name: ModelName, request: Request) -> Response:
    """Score up to 1,000 users, all as of the same instant, as the route for one scores each.

    A user without features gets a problem in its place. A batch has the time of one user for each
    hundred, and counts as one request for each hundred. The model of transactions takes a batch of
    transactions, as POST /predict/batch does.
    """
    parts = parts_of(request)
    if _is_of_transactions(parts, name):
        return await transactions.predict_batch(request)
    served = _served(parts, name)
    asked = await read_users_request(request, parts)
    if parts.gate is not None:
        further = (len(asked.user_ids) - 1) // TRANSACTIONS_EACH
        parts.gate.charge(request.state.key_id, further)
    model, degraded = served.champion_and_degraded()
    by_user = {each.user_id: each for each in await _score(request, asked, parts, served, model)}
    answers: list[UserPredictAnswer | Problem] = []
    for user_id in asked.user_ids:
        scored = by_user[user_id]
        answers.append(
            problem_of(scored)
            if isinstance(scored, NoScore)
            else _answer(scored, model, degraded, asked)
        )
    return transactions.written(UserBatchPredictAnswer.of(answers))


def _is_of_transactions(parts: ApiParts, name: str) -> bool:
    definition = parts.definitions.get(name)
    return definition is not None and definition.entity == "transaction"


def _served(parts: ApiParts, name: str) -> ServedModel:
    served = parts.served_models.get(name)
    if served is None:
        raise HTTPException(
            404, f"there is no model {shown(name)}; known are {', '.join(parts.definitions)}"
        )
    if not served.definition.is_read_from_the_store:
        raise HTTPException(
            404, f"model {name} takes more than a user; it has routes of its own, see /docs"
        )
    return served


async def _score(
    request: Request, asked: UserRequest, parts: ApiParts, served: ServedModel, model: LoadedModel
) -> Sequence[UserScore | NoScore]:
    deadline = Deadline.of(
        request.headers.get(DEADLINE_HEADER),
        limit_ms=parts.deadline_ms,
        started_ms=1000 * asked.started_s,
        transactions=len(asked.user_ids),
    )
    plan = deadline.plan(1000 * time.perf_counter(), with_batch=False)
    if not plan.history or parts.user_inputs is None:
        raise OnlineStoreUnavailableError(
            f"no time was left to read Redis within the deadline of {deadline.total_ms:.0f} ms"
        )
    stored = await parts.user_inputs.read(
        served.layout, asked.user_ids, timeout_ms=min(plan.timeout_ms, parts.read_timeout_ms)
    )
    return score_users(stored, model, served, as_of_ms=asked.now_ms)


def _answer(
    scored: UserScore, model: LoadedModel, degraded: Sequence[str], asked: UserRequest
) -> UserPredictAnswer:
    return UserPredictAnswer.of(
        scored,
        model=model.ref,
        degraded=degraded,
        as_of_ms=asked.now_ms,
        latency_ms=1000 * (time.perf_counter() - asked.started_s),
    )
