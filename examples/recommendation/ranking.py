"""Ranks what was found for a shopper: by the model, else as it was found, else what is popular.

There is no path without an answer; what was missing is named in ``degraded``. Pure: called by the
route, and by the evaluation for the same shoppers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from examples.recommendation.features import DAYPARTS, ranking_columns
from examples.recommendation.reader import Found
from models.artifact.load import LoadedModel

TOP: Final = 10
"""How many products an answer has."""
STALE_MS: Final = 36 * 3_600_000
"""Candidates and features older than a night and half a day are used, and called stale."""

Source = Literal["candidates", "popular", "none"]

STORE_UNAVAILABLE: Final = "online_store_unavailable"
"""Redis did not answer in time."""
CANDIDATES_MISSING: Final = "candidates_missing"
"""Redis has no candidates of any shopper: no night was ever complete, or Redis was emptied."""
CANDIDATES_UNREADABLE: Final = "candidates_unreadable"
"""The stored candidates are damaged."""
SHOPPER_UNKNOWN: Final = "shopper_without_candidates"
"""Redis has candidates, but none of this shopper."""
CANDIDATES_STALE: Final = "candidates_stale"
"""The last complete night was more than `STALE_MS` ago."""
NO_MODEL: Final = "no_model"
"""No version ranks; the candidates are in the order in which they were found."""
SHOPPER_FEATURES_MISSING: Final = "shopper_features_missing"
SHOPPER_FEATURES_STALE: Final = "shopper_features_stale"
PRODUCT_FEATURES_MISSING: Final = "product_features_missing"
"""Of at least one candidate; it is ranked by the rest."""
DAYPART_UNKNOWN: Final = "daypart_unknown"
"""The request names a part of the day that the model does not know; it is ranked without."""
POPULAR_MISSING: Final = "popular_missing"
"""No popular products are known either: no night was ever complete."""

DEGRADED: Final = (
    *(STORE_UNAVAILABLE, CANDIDATES_MISSING, CANDIDATES_UNREADABLE, SHOPPER_UNKNOWN),
    *(CANDIDATES_STALE, NO_MODEL, SHOPPER_FEATURES_MISSING, SHOPPER_FEATURES_STALE),
    *(PRODUCT_FEATURES_MISSING, DAYPART_UNKNOWN, POPULAR_MISSING),
)


class Ranked(NamedTuple):
    """An answer.

    Attributes:
        source: where the products come from.
        product_ids: the best first.
        scores: of the model, or of the candidates without a model; None for popular products.
        degraded: what was missing, of `DEGRADED`.
    """

    source: Source
    product_ids: list[int]
    scores: list[float] | None
    degraded: tuple[str, ...]


def rank(
    found: Found, *, daypart: str | None, model: LoadedModel | None, now_ms: int
) -> Ranked | None:
    """Rank a shopper's candidates.

    Args:
        found: what the online store holds.
        daypart: of `DAYPARTS`; None if the client does not say, any other text is flagged.
        model: of the `RANKING_COLUMNS`; None if there is none.
        now_ms: ms since 1970 UTC.

    Returns:
        The first `TOP`; None if the shopper has no candidates.
    """
    candidates = found.candidates
    if candidates is None or not len(candidates.product_id):
        return None
    degraded = [*_stale(found, now_ms), *_context(daypart)]
    scores: NDArray[np.floating[Any]] = candidates.score
    if model is None:
        degraded.append(NO_MODEL)
    else:
        degraded += _features_missing(found)
        scores = _scores(found, candidates.score, daypart, model)
    # The order in which they were found decides between equal scores.
    best = np.argsort(-scores, kind="stable")[:TOP]
    return Ranked(
        "candidates",
        candidates.product_id[best].tolist(),
        scores[best].astype(float).tolist(),
        tuple(degraded),
    )


def popular(product_ids: Sequence[int], degraded: Sequence[str]) -> Ranked:
    """Answer with popular products, for these reasons."""
    if not product_ids:
        return Ranked("none", [], None, (*degraded, POPULAR_MISSING))
    return Ranked("popular", list(product_ids[:TOP]), None, tuple(degraded))


def daypart_place(daypart: str | None) -> int:
    """Give the position of a part of the day; -1 if it is not known.

    Examples:
        >>> daypart_place("evening"), daypart_place("brunch"), daypart_place(None)
        (2, -1, -1)
    """
    return DAYPARTS.index(daypart) if daypart in DAYPARTS else -1


def _scores(
    found: Found, candidate_scores: NDArray[np.float32], daypart: str | None, model: LoadedModel
) -> NDArray[np.float64]:
    count = len(candidate_scores)
    vectors = ranking_columns(
        np.broadcast_to(found.shopper, (count, len(found.shopper))),
        found.products,
        candidate_scores.astype(np.float64),
        np.arange(count, dtype=np.float64),
        np.full(count, daypart_place(daypart)),
    )
    return model.trees.scores(vectors)


def _stale(found: Found, now_ms: int) -> list[str]:
    return [CANDIDATES_STALE] if now_ms - found.built_at_ms > STALE_MS else []


def _context(daypart: str | None) -> list[str]:
    return [DAYPART_UNKNOWN] if daypart is not None and daypart not in DAYPARTS else []


def _features_missing(found: Found) -> list[str]:
    missing = []
    if np.isnan(found.shopper).any():
        missing.append(SHOPPER_FEATURES_MISSING)
    elif found.shopper_at_ms is None or found.built_at_ms - found.shopper_at_ms > STALE_MS:
        missing.append(SHOPPER_FEATURES_STALE)
    if np.isnan(found.products).any():
        missing.append(PRODUCT_FEATURES_MISSING)
    return missing
