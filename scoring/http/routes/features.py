"""GET /features: the stored features of a user, and of a merchant, as of now."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException

from schemas.errors import shown
from scoring.http.answers.features import EXAMPLE, AsOf, FeaturesAnswer
from scoring.http.answers.problem import Problem
from scoring.http.deps import MerchantId, Parts, UserId
from scoring.http.openapi import answered, refused
from scoring.http.scoped_route import scoped

router = APIRouter(tags=["Scoring"], route_class=scoped("read"))


@router.get(
    # A user's id may contain slashes.
    "/features/{user_id:path}",
    summary="The features of a user as of now",
    responses={
        200: answered("the values as of now", EXAMPLE),
        **refused(
            Problem.of(404, "no history for user 'u-9'"),
            Problem.of(422, "user_id is blank: ' '", "user_id"),
            Problem.of(
                503,
                "Redis did not give the entities of user 'u-1' within redis_timeout_ms=50: "
                "TimeoutError",
            ),
        ),
    },
)
async def features(user_id: UserId, parts: Parts, merchant_id: MerchantId = None) -> FeaturesAnswer:
    """Evaluate the stored history of a user (and of a merchant) as of now.

    `age_ms` is the time since the last event in the history. A merchant without history has
    the features of no history; an unknown user is a 404. `batch` has the features that
    are computed once a day, with the time and the age of their snapshot.
    """
    pair = await parts.reader.read_entities(
        user_id=user_id, merchant_id=merchant_id, with_batch=True
    )
    if not any(pair.user):
        raise HTTPException(404, f"no history for user {shown(user_id)}")
    as_of = AsOf(now_ms=parts.now_ms(), staleness_ms_max=parts.staleness_ms_max)
    return FeaturesAnswer.of(pair, user_id=user_id, merchant_id=merchant_id, as_of=as_of)
