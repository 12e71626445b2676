"""Fits gradient-boosted trees of scikit-learn on a labelled table.

scikit-learn sorts the values of a column into at most 255 bins of about equal size, and splits
only between bins. Fraud is rare, so all values that tell it may be in the last bin. Therefore each
column with more values is also given as its largest tenth and its largest hundredth, each with bins
of its own. Afterwards the splits of these copies are moved to the column itself, where they mean
the same. Pure. Called by `training.fitting.families`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from models.encoding.table import encode_table
from models.encoding.vector import VectorSpec

BINS_MAX: Final = 255
"""The largest number of bins of a column."""
TAILS: Final = (0.1, 0.01)
"""The shares of a column's largest values that get bins of their own."""
LOG_ODDS_MOVED_MAX: Final = 30.0
"""The largest correction of the log-odds for a weight of frauds."""
ROUNDS_WITHOUT_GAIN_MAX: Final = 20
"""How many rounds may pass without a smaller loss on the newer rows before fitting stops."""


@dataclass(frozen=True, slots=True)
class BoostingParameters:
    """The parameters of boosted trees; logged with the run.

    Attributes:
        rounds: how many trees; early stopping takes fewer.
        learning_rate: how much of a tree's correction is added.
        leaves_max: largest number of leaves of a tree.
        leaf_rows_min: smallest number of rows in a leaf.
        l2: penalty of large values in the leaves.
        fraud_weight: how many legitimate rows a fraud counts as while fitting. The scores are
            corrected for it, so that they still estimate the share of fraud.
    """

    rounds: int = 300
    learning_rate: float = 0.05
    leaves_max: int = 8
    leaf_rows_min: int = 20
    l2: float = 5.0
    fraud_weight: float = 1.0


def fit_boosting(
    table: pd.DataFrame,
    spec: VectorSpec,
    *,
    parameters: BoostingParameters,
    seed: int,
    jobs: int = 1,
    newer: pd.DataFrame | None = None,
) -> tuple[HistGradientBoostingClassifier, BoostingParameters]:
    """Fit trees that give the log-odds of fraud.

    `training.fitting.families.fit_trees` describes the arguments. With ``newer`` rows, fitting
    stops when their loss no longer falls, and the rounds after the smallest loss are dropped.

    Returns:
        The estimator, which takes vectors of 32-bit values, and the parameters with the number of
        rounds that it has.
    """
    vectors, is_fraud = vectors_of(table, spec), table["is_fraud"].to_numpy(dtype=bool)
    columns = _Columns.of(vectors)
    estimator = HistGradientBoostingClassifier(
        max_iter=parameters.rounds,
        learning_rate=parameters.learning_rate,
        max_leaf_nodes=parameters.leaves_max,
        min_samples_leaf=parameters.leaf_rows_min,
        l2_regularization=parameters.l2,
        max_bins=BINS_MAX,
        class_weight={0: 1.0, 1: parameters.fraud_weight},
        early_stopping=newer is not None,
        n_iter_no_change=ROUNDS_WITHOUT_GAIN_MAX,
        categorical_features=None,
        random_state=seed,
    )
    later: dict[str, Any] = {}
    if newer is not None:
        later = {
            "X_val": columns.widened(vectors_of(newer, spec)),
            "y_val": newer["is_fraud"].to_numpy(dtype=int),
        }
    with threadpool_limits(jobs, "openmp"):
        estimator.fit(columns.widened(vectors), is_fraud.astype(int), **later)
    if newer is not None:
        # The first loss is that of no tree; at least one tree stays.
        best = max(int(np.argmax(estimator.validation_score_)), 1)
        estimator._predictors = estimator._predictors[:best]  # noqa: SLF001
    columns.narrow(estimator)
    if parameters.fraud_weight != 1:
        moved = correction(estimator.decision_function(vectors), is_fraud)
        estimator._baseline_prediction += moved  # noqa: SLF001
    return estimator, replace(parameters, rounds=len(estimator._predictors))  # noqa: SLF001


def correction(log_odds: NDArray[np.float64], is_fraud: NDArray[np.bool_]) -> float:
    """Give what to add to all log-odds, so that the mean score is the share of fraud again."""
    low, high = -LOG_ODDS_MOVED_MAX, LOG_ODDS_MOVED_MAX
    for _ in range(64):
        middle = (low + high) / 2
        if expit(log_odds + middle).mean() < is_fraud.mean():
            low = middle
        else:
            high = middle
    return (low + high) / 2


def gains(estimator: HistGradientBoostingClassifier) -> NDArray[np.float64]:
    """Give the share of each column in the decrease of the loss."""
    found = np.zeros(estimator.n_features_in_)
    for (tree,) in estimator._predictors:  # noqa: SLF001
        splits = tree.nodes[tree.nodes["is_leaf"] == 0]
        np.add.at(found, splits["feature_idx"].astype(int), splits["gain"])
    total = found.sum()
    return found / total if total else found


def vectors_of(table: pd.DataFrame, spec: VectorSpec) -> NDArray[np.float64]:
    """Give the vectors of a table, of 32-bit values: the compiled trees compare these."""
    return encode_table(table, spec).astype(np.float32).astype(np.float64)


class _Copy(NamedTuple):
    """A column that tells only the largest values of another one apart.

    Attributes:
        of: number of the other column.
        edges: the values that it has; each value becomes the first edge that is not below it.
    """

    of: int
    edges: NDArray[np.float64]

    def values(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the values of the copy; a missing value stays missing."""
        at = np.minimum(np.searchsorted(self.edges, values), len(self.edges) - 1)
        return np.where(np.isnan(values), np.nan, self.edges[at])

    def thresholds(self, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the thresholds that divide the other column as these divide the copy.

        scikit-learn puts a threshold between two edges; what is not above it in the copy is not
        above the lower one of the two in the other column. An infinite threshold stays.
        """
        below = self.edges[np.searchsorted(self.edges, thresholds, side="right") - 1]
        return np.where(np.isinf(thresholds), thresholds, below)


class _Columns(NamedTuple):
    """The columns of a matrix, and copies of those that have many values."""

    width: int
    copies: tuple[_Copy, ...]

    @classmethod
    def of(cls, vectors: NDArray[np.float64]) -> _Columns:
        copies = []
        for number, values in enumerate(vectors.T):
            known = np.sort(values[~np.isnan(values)])
            if len(np.unique(known)) > BINS_MAX:
                for share in TAILS:
                    tail = known[int(len(known) * (1 - share)) :]
                    edges = np.quantile(tail, np.linspace(0, 1, BINS_MAX), method="lower")
                    copies.append(_Copy(number, np.unique(edges)))
        return cls(vectors.shape[1], tuple(copies))

    def widened(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add the copies to the right."""
        return np.column_stack(
            [vectors, *(each.values(vectors[:, each.of]) for each in self.copies)]
        )

    def narrow(self, estimator: HistGradientBoostingClassifier) -> None:
        """Move the splits of copies to their columns; the estimator then takes those alone."""
        for (tree,) in estimator._predictors:  # noqa: SLF001
            nodes = tree.nodes
            for number, copy in enumerate(self.copies, self.width):
                at = (nodes["feature_idx"] == number) & (nodes["is_leaf"] == 0)
                nodes["num_threshold"][at] = copy.thresholds(nodes["num_threshold"][at])
                nodes["feature_idx"][at] = copy.of
        estimator.n_features_in_ = self.width
