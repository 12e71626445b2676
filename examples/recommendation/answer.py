"""The answer of POST /models/recommendation/rank, and the body of its request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, Literal, Self

from pydantic import Field

from examples.recommendation.features import DAYPARTS
from examples.recommendation.model import RECOMMENDATION
from examples.recommendation.ranking import TOP
from examples.recommendation.recommend import Recommendation
from schemas.codec import check_id
from schemas.errors import InvalidEventError, shown
from schemas.strict_json import parse_object
from scoring.http.answers import EXAMPLE_MODEL, EXAMPLE_NOW_MS, Answer, ModelAnswer


class Item(Answer):
    """A recommended product."""

    product_id: int
    score: float | None = Field(
        description="by which it was ranked; null for popular products, which are not ranked"
    )


class CandidatesAnswer(Answer):
    """The candidates that were in use."""

    version: str
    built_at_ms: int = Field(description="when their night began, ms since 1970 UTC")


class RankAnswer(Answer):
    """The products to show to a shopper, the best first."""

    user_id: str
    source: Literal["candidates", "popular", "none"] = Field(
        description="candidates: of this shopper, ranked. popular: the same for every shopper, "
        "because there are no candidates of this one. none: no product is known"
    )
    items: list[Item]
    model: ModelAnswer | None = Field(description="that ranked; null if none did")
    candidates: CandidatesAnswer | None = Field(description="null if none were found in Redis")
    degraded: list[str] = Field(description="what was missing; empty is good")
    latency_ms: float = Field(ge=0, description="time spent on this request in the service")

    @classmethod
    def of(cls, user_id: str, given: Recommendation, *, latency_ms: float) -> Self:
        """Build the answer.

        Args:
            user_id: as sent.
            given: the products, and what they rest on.
            latency_ms: time spent on the request, ms.
        """
        ranked = given.ranked
        nones: list[float | None] = [None] * len(ranked.product_ids)
        scores = nones if ranked.scores is None else ranked.scores
        candidates = None
        if given.version is not None and given.built_at_ms is not None:
            candidates = CandidatesAnswer(version=given.version, built_at_ms=given.built_at_ms)
        return cls(
            user_id=user_id,
            source=ranked.source,
            items=[
                Item(product_id=product_id, score=score)
                for product_id, score in zip(ranked.product_ids, scores, strict=True)
            ],
            model=None if given.model is None else ModelAnswer.of(given.model),
            candidates=candidates,
            degraded=list(ranked.degraded),
            latency_ms=round(latency_ms, 3),
        )


EXAMPLE: Final = RankAnswer(
    user_id="shopper-000042",
    source="candidates",
    items=[Item(product_id=4711, score=0.31), Item(product_id=815, score=0.22)],
    model=ModelAnswer.of(replace(EXAMPLE_MODEL, name=RECOMMENDATION.name)),
    candidates=CandidatesAnswer(
        version="20261130T020000-5b0c8de1", built_at_ms=EXAMPLE_NOW_MS - 7_200_000
    ),
    degraded=[],
    latency_ms=2.1,
)


def read_body(body: bytes) -> tuple[str, str | None]:
    """Give user and part of the day of a request.

    Raises:
        InvalidEventError: the body is no such object; an unknown part of the day is none.

    Examples:
        >>> read_body(b'{"user_id": "shopper-000042", "daypart": "evening"}')
        ('shopper-000042', 'evening')
    """
    fields = parse_object(body)
    user_id, daypart = fields.get("user_id"), fields.get("daypart")
    if not isinstance(user_id, str):
        raise InvalidEventError("user_id", f"is {shown(user_id)}, must be a string")
    if daypart is not None and not isinstance(daypart, str):
        raise InvalidEventError("daypart", f"is {shown(daypart)}, must be a string or null")
    return check_id(user_id, field="user_id"), daypart


def describe_body() -> dict[str, Any]:
    """Give the OpenAPI description of the body."""
    schema = {
        "type": "object",
        "title": "RankRequest",
        "required": ["user_id"],
        "properties": {
            "user_id": {"type": "string", "minLength": 1, "maxLength": 128},
            "daypart": {
                "type": ["string", "null"],
                "description": f"one of {', '.join(DAYPARTS)}; with another one the products are "
                f"ranked without it, and `degraded` says so. The first {TOP} are given.",
            },
        },
    }
    example = {"user_id": "shopper-000042", "daypart": "evening"}
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "example": example}},
    }
