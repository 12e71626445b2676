"""From a table to a random forest. Pure: no file, no server, no clock; the seed is an argument."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from models.encoding.vector import VectorSpec
from training.datasets.rows import encode_table


@dataclass(frozen=True, slots=True)
class ForestParameters:
    """What a forest is grown by; logged with the run.

    Attributes:
        trees: how many.
        depth_max: of each tree; scoring time grows with it.
        leaf_rows_min: rows a leaf holds at least. One row a leaf would make trees three times
            as large, and sure of what they saw once.
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
    """Grow a forest that gives the probability of fraud.

    Classes are not reweighted: a score is the share of fraud among rows like this one, which
    is what the thresholds of the policy mean.

    Args:
        table: with ``is_fraud`` and every column of the specification; both classes.
        spec: which columns, in which order.
        parameters: of the forest.
        seed: equal seeds and tables give equal forests, whatever ``jobs``.
        jobs: threads to grow it with.
    """
    forest = RandomForestClassifier(
        n_estimators=parameters.trees,
        max_depth=parameters.depth_max,
        min_samples_leaf=parameters.leaf_rows_min,
        random_state=seed,
        n_jobs=jobs,
    )
    forest.fit(encode_table(table, spec).astype(np.float32), table["is_fraud"].to_numpy(dtype=int))
    # Predicting in threads adds up the trees in the order they finish: equal but for the last
    # bit. Golden scores shall be the same bytes for the same forest.
    return forest.set_params(n_jobs=1)
