"""Fits the ranker: a forest that gives the probability that a candidate is bought in the visit.

Pure. The rows are the candidates of shoppers who came after the night, as they were published;
those that were bought are of class 1. The platform's compiler turns the forest into the same files
as those of every model. Called by `examples.recommendation.training`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from examples.recommendation.features import RANKING_COLUMNS, Matrix, ranking_columns
from examples.recommendation.files import NightFiles
from examples.recommendation.ranking import TOP
from examples.recommendation.tables import Visits
from models.artifact.compile_forest import compile_forest
from models.artifact.files import ModelFiles
from models.artifact.trees import Trees
from models.encoding.vector import VectorSpec

TREES, DEPTH_MAX, LEAF_ROWS_MIN = 40, 9, 20
TREE_ROWS_SHARE: Final = 0.3
"""Share of the rows that each tree is fitted on."""
CONTEXT_HIDDEN: Final = 0.1
"""Share of the visits of which the part of the day is hidden, so that the forest learns to rank
without it."""


class Impressions(NamedTuple):
    """Candidates of visits, one row for each candidate of each visit.

    Attributes:
        vectors: shape (rows, `RANKING_COLUMNS`).
        visit: of each row, from 0.
        candidate: position in the catalogue.
        is_bought: whether it was bought in the visit.
    """

    vectors: Matrix
    visit: NDArray[np.int64]
    candidate: NDArray[np.int64]
    is_bought: NDArray[np.bool_]


def impressions(visits: Visits, night: NightFiles) -> Impressions:
    """Give the candidates that the shoppers of visits had, with what a ranking knows of them.

    Args:
        visits: the shoppers, in the order of ``night.users``.
        night: what was published before the visits.
    """
    visit, place = np.nonzero(night.candidate >= 0)
    candidate = night.candidate[visit, place]
    vectors = ranking_columns(
        night.shoppers[visit],
        night.products[candidate],
        night.score[visit, place],
        place.astype(np.float64),
        visits.daypart[visit],
    )
    is_bought = (visits.bought[visit] == candidate[:, None]).any(axis=1)
    return Impressions(vectors, visit, candidate, is_bought)


class Fitted(NamedTuple):
    """A forest, and the files that serve it."""

    forest: RandomForestClassifier
    files: ModelFiles


def fit_ranker(visits: Visits, night: NightFiles, *, seed: int, jobs: int = 1) -> Fitted:
    """Fit a forest on the candidates of visits.

    Equal visits and seeds give equal files.

    Raises:
        ValueError: none of the candidates was bought, or all were: there is nothing to learn.
    """
    rng = np.random.default_rng(seed)
    is_hidden = rng.random(len(visits.user)) < CONTEXT_HIDDEN
    shown = impressions(visits._replace(daypart=np.where(is_hidden, -1, visits.daypart)), night)
    bought = int(shown.is_bought.sum())
    if not 0 < bought < len(shown.is_bought):
        raise ValueError(
            f"{bought} of {len(shown.is_bought)} candidates were bought in the visits; it must be "
            "some, and not all: take visits after the night that published the candidates"
        )
    forest = RandomForestClassifier(
        n_estimators=TREES,
        max_depth=DEPTH_MAX,
        min_samples_leaf=LEAF_ROWS_MIN,
        max_samples=TREE_ROWS_SHARE,
        random_state=seed,
        n_jobs=jobs,
    )
    vectors = shown.vectors.astype(np.float32)
    forest.fit(vectors, shown.is_bought.astype(int))
    # One thread adds up the trees in one order, so that equal forests give equal golden scores.
    forest.set_params(n_jobs=1)
    files = compile_forest(forest, VectorSpec(RANKING_COLUMNS, {}), shown.vectors, seed=seed)
    return Fitted(forest, files)


def ranked_top(trees: Trees | None, shown: Impressions, visits: int) -> NDArray[np.int64]:
    """Rank the candidates of each visit.

    Args:
        trees: the ranker; None for the order in which the candidates were found.
        shown: of the visits.
        visits: how many there are.

    Returns:
        Shape (visits, `TOP`), positions in the catalogue; -1 for none.
    """
    found_order = -np.arange(len(shown.visit), dtype=np.float64)
    scores = found_order if trees is None else trees.scores(shown.vectors)
    order = np.lexsort((-scores, shown.visit))
    visit, candidate = shown.visit[order], shown.candidate[order]
    counts = np.bincount(visit, minlength=visits)
    place = np.arange(len(visit)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_top = place < TOP
    top = np.full((visits, TOP), -1, dtype=np.int64)
    top[visit[is_top], place[is_top]] = candidate[is_top]
    return top
