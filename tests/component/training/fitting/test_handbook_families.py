"""Both families on the public transactions of the Fraud Detection Handbook."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from models.artifact.compile_forest import fitted_scores
from models.encoding.table import encode_table
from models.encoding.vector import VectorSpec
from operations.handbook_comparison import HANDBOOK_FEATURES
from tests.bench.bench_handbook import (
    FOREST,
    HANDBOOK,
    PUBLISHED_INPUTS,
    Fold,
    folds,
    handbook_transactions,
)
from training.fitting import boosting
from training.fitting.boosting import BoostingParameters
from training.fitting.families import Parameters, fit_trees

pytestmark = pytest.mark.skipif(
    not HANDBOOK.exists(), reason="needs the handbook's data, which are no part of the project"
)

SPEC = VectorSpec(PUBLISHED_INPUTS, {})
BOOSTED = BoostingParameters(rounds=150, leaves_max=8)


@pytest.fixture(scope="module")
def fold() -> Fold:
    """The first of the four folds, with the published features."""
    theirs = [feature.theirs for feature in HANDBOOK_FEATURES]
    oracle = pd.read_parquet(HANDBOOK / "velocity_oracle.parquet", columns=theirs)
    ours = {
        feature.ours: oracle[feature.theirs].to_numpy(dtype=np.float64) * feature.scale
        for feature in HANDBOOK_FEATURES
    }
    table = handbook_transactions(HANDBOOK).reset_index(drop=True).assign(**ours)
    return next(folds(table))


def precision(fold: Fold, parameters: Parameters) -> float:
    estimator, _ = fit_trees(fold.train, SPEC, parameters=parameters, seed=0, jobs=2)
    scores = fitted_scores(estimator, encode_table(fold.test, SPEC))
    return float(average_precision_score(fold.test["is_fraud"], scores))


def test_both_families_find_the_handbooks_frauds_and_boosting_needs_its_finer_bins(
    fold: Fold, monkeypatch: pytest.MonkeyPatch
) -> None:
    forest = precision(fold, replace(FOREST, trees=50))
    boosted = precision(fold, BOOSTED)
    monkeypatch.setattr(boosting, "TAILS", ())
    coarse = precision(fold, BOOSTED)
    assert forest > 0.67
    assert boosted > 0.67
    assert boosted > coarse + 0.01
