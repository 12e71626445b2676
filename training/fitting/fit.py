"""Fits a random forest of scikit-learn on a labelled table.

Pure: no file, no server, no clock; the seed is an argument. Called by `training.fitting.candidate`
and, for each set of parameters, by `training.fitting.choose`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from models.encoding.table import encode_table
from models.encoding.vector import VectorSpec


@dataclass(frozen=True, slots=True)
class ForestParameters:
    """The parameters of a forest; logged with the run.

    Attributes:
        trees: how many.
        depth_max: largest depth of a tree; scoring time grows with it.
        leaf_rows_min: smallest number of rows in a leaf. With 1 the trees are three times as
            large and overfit.
    """

    trees: int = 100
    depth_max: int = 12
    leaf_rows_min: int = 5


def fit_forest(
    table: pd.DataFrame,
    spec: VectorSpec,
    *,
    parameters: ForestParameters,
    seed: int,
    jobs: int = 1,
) -> RandomForestClassifier:
    """Fit a forest that gives the probability of fraud.

    The classes are not reweighted, so a score estimates the share of fraud among similar rows;
    the thresholds of the policy rely on that.

    Args:
        table: with ``is_fraud`` and every column of the specification; rows of both classes.
        spec: of the vectors.
        parameters: of the forest.
        seed: equal seeds and tables give equal forests, for any ``jobs``.
        jobs: number of threads.
    """
    forest = RandomForestClassifier(
        n_estimators=parameters.trees,
        max_depth=parameters.depth_max,
        min_samples_leaf=parameters.leaf_rows_min,
        random_state=seed,
        n_jobs=jobs,
    )
    forest.fit(encode_table(table, spec).astype(np.float32), table["is_fraud"].to_numpy(dtype=int))
    # Several threads add up the trees in the order in which they finish, which changes the last
    # bit. The golden scores of equal forests must be equal to the last bit.
    return forest.set_params(n_jobs=1)
