from __future__ import annotations

import importlib

import pandas as pd
import pytest

from models.artifact.compile_forest import compile_forest, fitted_scores
from models.artifact.onnx_forest import to_onnx
from models.artifact.trees import Trees
from models.artifact.walked_trees import WalkedTrees
from models.encoding.table import encode_table, vector_spec
from tests.model_files import training_table
from training.errors import MissingLibraryError
from training.fitting.families import Family, fit_trees
from training.fitting.lightgbm_fit import LightGbmParameters, fit_lightgbm

SMALL = LightGbmParameters(rounds=30, learning_rate=0.2)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return training_table(3_000)


def test_the_compiled_trees_score_as_the_fitted_ones_to_the_last_bit(table: pd.DataFrame) -> None:
    spec = vector_spec(table)
    boosted, _ = fit_trees(table, spec, parameters=SMALL, seed=1)
    files = compile_forest(boosted, spec, encode_table(table, spec), seed=1)
    assert b'"fitted_by": "lightgbm ' in files.signature
    unseen = encode_table(training_table(1_000, seed=9), spec)
    wanted = fitted_scores(boosted, unseen)
    assert len(set(wanted)) > 500
    assert Trees(files.trees).scores(unseen).tolist() == wanted.tolist()
    assert WalkedTrees(files.trees).scores(unseen[:100].tolist()) == wanted[:100].tolist()


def test_equal_seeds_give_equal_trees_whatever_the_number_of_threads(table: pd.DataFrame) -> None:
    spec = vector_spec(table)
    parameters = LightGbmParameters(rounds=5)
    one, two = (
        fit_lightgbm(table[:500], spec, parameters=parameters, seed=1, jobs=jobs)[0]
        for jobs in (1, 2)
    )
    assert to_onnx(one) == to_onnx(two)


@pytest.mark.parametrize("weight", [1.0, 20.0])
def test_weighted_frauds_do_not_change_what_a_score_means(
    table: pd.DataFrame, weight: float
) -> None:
    spec = vector_spec(table)
    parameters = LightGbmParameters(rounds=60, fraud_weight=weight)
    boosted, _ = fit_lightgbm(table, spec, parameters=parameters, seed=1)
    scores = fitted_scores(boosted, encode_table(table, spec))
    assert scores.mean() == pytest.approx(table["is_fraud"].mean(), abs=0.005)
    assert Trees(to_onnx(boosted)).scores(encode_table(table, spec)).tolist() == scores.tolist()


def test_without_the_library_the_family_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", without)
    for family in (Family.FOREST, Family.BOOSTING, Family.AUTO):
        family.check_installed()
    with pytest.raises(MissingLibraryError, match=r"No module .*pip install 'weir\[lightgbm\]'"):
        Family.LIGHTGBM.check_installed()
