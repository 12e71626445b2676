"""Fits a random forest of scikit-learn on a labelled table.

Pure: no file, no server, no clock; the seed is an argument. Called by `training.fitting.families`.
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
        fraud_weight: how many legitimate rows a fraud counts as in the choice of splits. The
            leaves are corrected for it, so that they still give the share of fraud.
    """

    trees: int = 100
    depth_max: int = 12
    leaf_rows_min: int = 5
    fraud_weight: float = 1.0


def fit_forest(
    table: pd.DataFrame,
    spec: VectorSpec,
    *,
    parameters: ForestParameters,
    seed: int,
    jobs: int = 1,
) -> RandomForestClassifier:
    """Fit a forest that gives the probability of fraud.

    A score estimates the share of fraud among similar rows, also if frauds have a weight; the
    thresholds of the policy rely on that. `training.fitting.families.fit_trees` describes the
    arguments.
    """
    weight = parameters.fraud_weight
    forest = RandomForestClassifier(
        n_estimators=parameters.trees,
        max_depth=parameters.depth_max,
        min_samples_leaf=parameters.leaf_rows_min,
        class_weight=None if weight == 1 else {0: 1.0, 1: weight},
        random_state=seed,
        n_jobs=jobs,
    )
    forest.fit(encode_table(table, spec).astype(np.float32), table["is_fraud"].to_numpy(dtype=int))
    if weight != 1:
        for tree in forest.estimators_:
            shares = tree.tree_.value[:, 0, :]
            weighted = shares * (weight, 1.0)
            shares[:] = weighted / weighted.sum(axis=1, keepdims=True)
    # Several threads add up the trees in the order in which they finish, which changes the last
    # bit. The golden scores of equal forests must be equal to the last bit.
    return forest.set_params(n_jobs=1)
