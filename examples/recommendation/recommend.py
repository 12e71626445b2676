"""Recommends products to a shopper: reads, ranks, and always has an answer.

Keeps the last popular products that it saw, so that a Redis that was emptied changes what is
recommended, not whether. Opened once a process by `examples.recommendation.routes`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from examples.recommendation import popular_file
from examples.recommendation.ranking import (
    CANDIDATES_MISSING,
    CANDIDATES_UNREADABLE,
    SHOPPER_UNKNOWN,
    STORE_UNAVAILABLE,
    Ranked,
    popular,
    rank,
)
from examples.recommendation.reader import CandidateReader, Found
from examples.recommendation.stored import StoredBytesError
from models.artifact.load import LoadedModel
from schemas.decision import ModelRef
from scoring.core.errors import NoChampionError, OnlineStoreUnavailableError
from scoring.http.model_routes import RoutesContext

log = logging.getLogger(__name__)


class Recommendation(NamedTuple):
    """An answer, and what it rests on.

    Attributes:
        ranked: the products.
        model: that ranked; None if none did.
        version: of the candidates that were read; None if there were none.
        built_at_ms: when their night began, ms since 1970 UTC; None if there were none.
    """

    ranked: Ranked
    model: ModelRef | None
    version: str | None
    built_at_ms: int | None


class Recommender:
    """Ranks candidates by the champion of the moment."""

    def __init__(self, context: RoutesContext) -> None:
        """Take the parts of the process; waits for nothing."""
        self._context = context
        self._reader = CandidateReader(context.store, project=context.settings.feast_project)
        self._popular: Sequence[int] = popular_file.read(
            popular_file.path(context.settings.data_dir)
        )

    async def recommend(
        self, user_id: str, *, daypart: str | None, timeout_ms: float | None = None
    ) -> Recommendation:
        """Recommend products to a shopper; raises nothing that Redis or MLflow can cause.

        Blocks: for Redis until its time limit at most.

        Args:
            user_id: of the shopper.
            daypart: the part of the day; None if it is not known.
            timeout_ms: a limit of the read, ms, instead of ``redis_timeout_ms``; with 0 nothing is
                read.
        """
        if timeout_ms == 0:
            return self._without_candidates(STORE_UNAVAILABLE)
        try:
            found = await self._reader.read(user_id, timeout_ms=timeout_ms)
        except OnlineStoreUnavailableError:
            return self._without_candidates(STORE_UNAVAILABLE)
        except StoredBytesError as error:
            log.warning("candidates of user %.80r: %s", user_id, error)
            return self._without_candidates(CANDIDATES_UNREADABLE)
        if found.popular:
            self._popular = found.popular
        ranker, remarks = self._ranker()
        ranked = rank(found, daypart=daypart, model=ranker, now_ms=self._context.now_ms())
        if ranked is None:
            return self._without_candidates(
                CANDIDATES_MISSING if found.version is None else SHOPPER_UNKNOWN, found
            )
        ref = None if ranker is None else ranker.ref
        whole = ranked._replace(degraded=(*ranked.degraded, *remarks))
        return Recommendation(whole, ref, found.version, found.built_at_ms)

    def _ranker(self) -> tuple[LoadedModel | None, tuple[str, ...]]:
        """Give the version that ranks, and what the platform says of it."""
        try:
            return self._context.model.champion_and_degraded()
        except NoChampionError:
            return None, ()

    def _without_candidates(self, why: str, found: Found | None = None) -> Recommendation:
        ranked = popular(self._popular, [why])
        if found is None or found.version is None:
            return Recommendation(ranked, None, None, None)
        return Recommendation(ranked, None, found.version, found.built_at_ms)
