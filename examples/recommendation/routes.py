"""POST /models/recommendation/rank: the route that this model brings to the API."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import APIRouter, Request

from examples.recommendation import answer
from examples.recommendation.answer import RankAnswer
from examples.recommendation.model import RECOMMENDATION
from examples.recommendation.recommend import Recommender
from scoring.http.answers.problem import Problem
from scoring.http.deadline import DEADLINE_HEADER, Deadline, describe_deadline
from scoring.http.deps import opened_of, parts_of
from scoring.http.model_routes import ModelRoutes, RoutesContext
from scoring.http.openapi import answered, refused
from scoring.http.predict_request import BODY_BYTES_MAX, BODY_TIMEOUT_S, read_body
from scoring.http.scoped_route import scoped

router = APIRouter(tags=["Recommendation"], route_class=scoped("predict"))


@router.post(
    "/models/recommendation/rank",
    summary="Rank products for a shopper",
    responses={
        200: answered("the products to show", answer.EXAMPLE),
        **refused(
            Problem.of(408, f"the body was not complete in {BODY_TIMEOUT_S} s"),
            Problem.of(413, f"the body is over {BODY_BYTES_MAX} bytes"),
            Problem.of(422, "user_id is null, must be a string", "user_id"),
        ),
    },
    openapi_extra={
        "requestBody": answer.describe_body(),
        "parameters": [describe_deadline()],
    },
)
async def rank(request: Request) -> RankAnswer:
    """Give the ten products that a shopper is most likely to buy next.

    Candidates, their features and the shopper's come from one read of Redis. Without candidates,
    without Redis, without a model or without features there is still an answer: `source` and
    `degraded` say what it rests on.
    """
    started_s = time.perf_counter()
    parts = parts_of(request)
    user_id, daypart = answer.read_body(await read_body(request, bytes_max=BODY_BYTES_MAX))
    deadline = Deadline.of(
        request.headers.get(DEADLINE_HEADER),
        limit_ms=parts.deadline_ms,
        started_ms=1_000 * started_s,
    )
    plan = deadline.plan(1_000 * time.perf_counter(), with_batch=False)
    recommender = opened_of(request, RECOMMENDATION.name)
    assert isinstance(recommender, Recommender)
    given = await recommender.recommend(
        user_id,
        daypart=daypart,
        timeout_ms=min(plan.timeout_ms, parts.read_timeout_ms) if plan.history else 0,
    )
    for missing in given.ranked.degraded:
        parts.metrics.degraded.labels(missing).inc()
    latency_ms = 1_000 * (time.perf_counter() - started_s)
    return RankAnswer.of(user_id, given, latency_ms=latency_ms)


@asynccontextmanager
async def _open(context: RoutesContext) -> AsyncIterator[Recommender]:
    yield Recommender(context)


ROUTES: Final = ModelRoutes(router, _open)
