"""The families of models that a training can fit: random forests, and boosting of two libraries.

All give trees that `models.artifact` compiles into the same file. Pure. Called by
`training.fitting.candidate`, `training.fitting.choose` and the command line.
"""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from itertools import product
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from models.artifact.lightgbm_trees import LightGbmTrees
from models.artifact.onnx_forest import TreeEstimator
from models.encoding.vector import VectorSpec
from training.fitting.boosting import BoostingParameters, fit_boosting, gains
from training.fitting.fit import ForestParameters, fit_forest
from training.fitting.lightgbm_fit import LightGbmParameters, fit_lightgbm, import_lightgbm

Parameters = ForestParameters | BoostingParameters

FORESTS: Final = tuple(
    ForestParameters(depth_max=depth_max, leaf_rows_min=leaf_rows_min)
    for depth_max, leaf_rows_min in product((8, 12, 20), (20, 5, 1))
)
"""The forests to choose from, smallest trees first: of equally good ones the first is taken."""
BOOSTED: Final = tuple(
    BoostingParameters(leaves_max=leaves_max, fraud_weight=fraud_weight)
    for leaves_max, fraud_weight in product((8, 31), (1.0, 10.0))
)
"""The boosted trees to choose from, smallest first."""
LIGHTGBM: Final = tuple(LightGbmParameters(**asdict(each)) for each in BOOSTED)
"""The same, fitted by LightGBM."""


class Family(StrEnum):
    """What to fit."""

    FOREST = "forest"
    BOOSTING = "boosting"
    LIGHTGBM = "lightgbm"
    AUTO = "auto"

    def default(self) -> Parameters:
        """Give the parameters to take if nothing is chosen; for ``auto`` those of a forest."""
        if self is Family.LIGHTGBM:
            return LightGbmParameters()
        return BoostingParameters() if self is Family.BOOSTING else ForestParameters()

    def check_installed(self) -> None:
        """Return if the library that fits it can be imported.

        Raises:
            MissingLibraryError: it is an optional one, and cannot.
        """
        if self is Family.LIGHTGBM:
            import_lightgbm()

    def grid(self, *, is_large: bool) -> tuple[Parameters, ...]:
        """Give the parameters to choose from.

        Args:
            is_large: all of `FORESTS` and `BOOSTED`; otherwise the defaults of each family, and
                nothing for forests, whose default needs no choice.
        """
        grids: dict[Family, tuple[Parameters, ...]] = {
            Family.FOREST: (),
            Family.BOOSTING: (BoostingParameters(),),
            Family.LIGHTGBM: (LightGbmParameters(),),
            Family.AUTO: (ForestParameters(), BoostingParameters()),
        }
        if is_large:
            grids = {
                Family.FOREST: FORESTS,
                Family.BOOSTING: BOOSTED,
                Family.LIGHTGBM: LIGHTGBM,
                Family.AUTO: (*FORESTS, *BOOSTED),
            }
        return grids[self]


def fit_trees(
    table: pd.DataFrame,
    spec: VectorSpec,
    *,
    parameters: Parameters,
    seed: int,
    jobs: int = 1,
    newer: pd.DataFrame | None = None,
) -> tuple[TreeEstimator, Parameters]:
    """Fit a model of the family that the parameters belong to.

    Args:
        table: with ``is_fraud`` and every column of the specification; rows of both classes.
        spec: of the vectors.
        parameters: of the model.
        seed: equal seeds and tables give equal models, for any ``jobs``.
        jobs: number of threads.
        newer: further labelled rows that end boosting early; None: all rounds are fitted.

    Returns:
        The estimator, and its parameters: boosting that ended early has fewer rounds.

    Raises:
        MissingLibraryError: the library of the family is not installed.
    """
    if isinstance(parameters, ForestParameters):
        return fit_forest(table, spec, parameters=parameters, seed=seed, jobs=jobs), parameters
    if isinstance(parameters, LightGbmParameters):
        return fit_lightgbm(table, spec, parameters=parameters, seed=seed, jobs=jobs, newer=newer)
    return fit_boosting(table, spec, parameters=parameters, seed=seed, jobs=jobs, newer=newer)


def importances(estimator: TreeEstimator) -> NDArray[np.float64]:
    """Give the importance of each column: its share in the decrease of impurity, or of the loss."""
    if isinstance(estimator, RandomForestClassifier):
        return np.asarray(estimator.feature_importances_)
    if isinstance(estimator, LightGbmTrees):
        return estimator.gains()
    return gains(estimator)


def as_record(parameters: Parameters) -> dict[str, Any]:
    """Give parameters as JSON values, with the name of their family."""
    family = {ForestParameters: Family.FOREST, LightGbmParameters: Family.LIGHTGBM}
    return {
        "family": family.get(type(parameters), Family.BOOSTING).value,
        **asdict(parameters),
    }
