"""Finds candidates: for each shopper the products that similar shoppers have bought.

Collaborative filtering by the library `implicit`: alternating least squares (ALS), or nearest
neighbours weighted by BM25. Pure but for threads. Called by the nightly job.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import scipy.sparse
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender
from implicit.utils import ParameterWarning
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from examples.recommendation.tables import Interactions

Method = Literal["als", "bm25"]
CANDIDATES: Final = 100
"""How many candidates a shopper has at most."""
AT_ONCE: Final = 2_000
"""Shoppers whose scores of all products are in memory at the same time."""

FACTORS, ITERATIONS, REGULARIZATION, CONFIDENCE = 64, 8, 0.05, 10.0
"""Of ALS: length of a taste, rounds, penalty of its size, weight of a purchase against none."""
NEIGHBOURS: Final = 50
"""Of BM25: how many similar products count for each product."""


class Candidates(NamedTuple):
    """The candidates of some shoppers, the best first.

    Attributes:
        user: numbers of the shoppers.
        product: shape (shoppers, candidates), positions in the catalogue; -1 where there are fewer.
        score: of the same shape.
    """

    user: NDArray[np.int64]
    product: NDArray[np.int64]
    score: NDArray[np.float32]


def find_candidates(
    bought: Interactions,
    *,
    products: int,
    method: Method = "als",
    count: int = CANDIDATES,
    threads: int = 0,
) -> Iterator[Candidates]:
    """Find the candidates of every shopper, some thousand shoppers at a time.

    Args:
        bought: the purchases. Products that a shopper has bought are no candidates.
        products: size of the catalogue.
        method: of finding them.
        count: of candidates.
        threads: 0 means one for each core.
    """
    shape = (len(bought.users), products)
    ones = np.ones(len(bought.user), dtype=np.float32)
    matrix = scipy.sparse.csr_matrix((ones, (bought.user, bought.product)), shape=shape)
    # Bought twice is not liked twice as much.
    matrix.data[:] = 1.0
    # The library has a thread for each core; with OpenBLAS's own threads beside them it is many
    # times slower.
    with threadpool_limits(1, "blas"):
        model = _fitted(matrix, method, threads=threads, factors=min(FACTORS, *shape))
    count = min(count, products)
    for start in range(0, shape[0], AT_ONCE):
        user = np.arange(start, min(start + AT_ONCE, shape[0]))
        with threadpool_limits(1, "blas"):
            found, scores = model.recommend(user, matrix[user], N=count)
        # A product that is filtered, or has no score at all, comes last.
        is_none = (found < 0) | (scores <= -np.finfo(np.float32).max) | (scores == 0)
        yield Candidates(
            user,
            np.where(is_none, -1, found).astype(np.int64),
            np.where(is_none, 0.0, scores).astype(np.float32),
        )


def popular_products(bought: Interactions, *, products: int, count: int) -> NDArray[np.int64]:
    """Give the positions of the products that most purchases are of, the first first."""
    counts = np.bincount(bought.product, minlength=products)
    found: NDArray[np.int64] = np.argsort(-counts, kind="stable")[:count]
    return found


def _fitted(matrix: Any, method: Method, *, threads: int, factors: int) -> Any:
    model: Any = BM25Recommender(K=NEIGHBOURS, num_threads=threads)
    if method == "als":
        model = AlternatingLeastSquares(
            factors=factors,
            iterations=ITERATIONS,
            regularization=REGULARIZATION,
            alpha=CONFIDENCE,
            num_threads=threads,
            random_state=1,
        )
    with warnings.catch_warnings():
        # The library warns of a conversion that it makes itself.
        warnings.simplefilter("ignore", ParameterWarning)
        model.fit(matrix, show_progress=False)
    return model
