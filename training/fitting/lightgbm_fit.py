"""Fits gradient-boosted trees of LightGBM on a labelled table.

LightGBM is an optional library, of training alone: scoring reads the compiled trees. It has as many
bins as a column has values, up to `BINS_MAX`, so it needs no copies of columns as
`training.fitting.boosting` does. Pure. Called by `training.fitting.families`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.artifact.lightgbm_trees import LightGbmTrees
from models.encoding.vector import VectorSpec
from training.errors import MissingLibraryError
from training.fitting.boosting import (
    ROUNDS_WITHOUT_GAIN_MAX,
    BoostingParameters,
    correction,
    vectors_of,
)

BINS_MAX: Final = 4_095
"""The largest number of bins of a column."""


@dataclass(frozen=True, slots=True)
class LightGbmParameters(BoostingParameters):
    """The parameters of boosted trees that LightGBM fits."""


def fit_lightgbm(
    table: pd.DataFrame,
    spec: VectorSpec,
    *,
    parameters: LightGbmParameters,
    seed: int,
    jobs: int = 1,
    newer: pd.DataFrame | None = None,
) -> tuple[LightGbmTrees, LightGbmParameters]:
    """Fit trees that give the log-odds of fraud, as `training.fitting.boosting.fit_boosting` does.

    Raises:
        MissingLibraryError: LightGBM is not installed.
    """
    lightgbm = import_lightgbm()
    options = {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": parameters.learning_rate,
        "num_leaves": parameters.leaves_max,
        "min_data_in_leaf": parameters.leaf_rows_min,
        "lambda_l2": parameters.l2,
        "max_bin": BINS_MAX,
        "min_data_in_bin": 1,
        # Bins are of all rows.
        "bin_construct_sample_cnt": len(table),
        "seed": seed,
        "num_threads": jobs,
        # Equal trees for any number of threads.
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    vectors = vectors_of(table, spec)
    rows = _rows(lightgbm, table, vectors, parameters, options)
    judges: dict[str, Any] = {}
    if newer is not None:
        later = _rows(lightgbm, newer, vectors_of(newer, spec), parameters, options, reference=rows)
        stopping = lightgbm.early_stopping(ROUNDS_WITHOUT_GAIN_MAX, verbose=False)
        judges = {"valid_sets": [later], "callbacks": [stopping]}
    booster = lightgbm.train(options, rows, parameters.rounds, **judges)
    rounds = parameters.rounds if newer is None else booster.best_iteration
    # Read back, so that it has these rounds alone, and no rows.
    booster = lightgbm.Booster(model_str=booster.model_to_string(num_iteration=rounds))
    trees = LightGbmTrees(booster)
    if parameters.fraud_weight != 1:
        log_odds = booster.predict(vectors, raw_score=True, num_threads=jobs)
        trees.add(correction(log_odds, table["is_fraud"].to_numpy(dtype=bool)))
    return trees, replace(parameters, rounds=booster.num_trees())


def _rows(
    lightgbm: Any,
    table: pd.DataFrame,
    vectors: NDArray[np.float64],
    parameters: LightGbmParameters,
    options: dict[str, Any],
    *,
    reference: Any = None,
) -> Any:
    is_fraud = table["is_fraud"].to_numpy(dtype=bool)
    weights = np.where(is_fraud, parameters.fraud_weight, 1.0)
    return lightgbm.Dataset(
        vectors, is_fraud.astype(int), weight=weights, params=options, reference=reference
    )


def import_lightgbm() -> Any:
    """Import LightGBM.

    Raises:
        MissingLibraryError: it is not installed, or a library of the system that it needs is not.
    """
    try:
        return importlib.import_module("lightgbm")
    except (ImportError, OSError) as error:
        raise MissingLibraryError(
            f"the family lightgbm needs LightGBM, which cannot be imported: {error!s:.200}; "
            "install it by `pip install 'weir[lightgbm]'`, and Debian's package libgomp1"
        ) from error
