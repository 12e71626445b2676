from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.artifact.compile_forest import compile_forest, fitted_scores
from models.artifact.onnx_forest import to_onnx
from models.artifact.trees import Trees
from models.artifact.walked_trees import WalkedTrees
from models.encoding.table import encode_table, vector_spec
from models.encoding.vector import VectorSpec
from tests.model_files import training_table
from training.fitting.boosting import BoostingParameters, fit_boosting
from training.fitting.families import fit_trees, importances
from training.fitting.lightgbm_fit import LightGbmParameters

SMALL = BoostingParameters(rounds=30, learning_rate=0.2)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return training_table(3_000)


def test_the_compiled_trees_score_as_the_fitted_ones_to_the_last_bit(table: pd.DataFrame) -> None:
    spec = vector_spec(table)
    boosted, _ = fit_boosting(table, spec, parameters=SMALL, seed=1)
    files = compile_forest(boosted, spec, encode_table(table, spec), seed=1)
    unseen = encode_table(training_table(1_000, seed=9), spec)
    wanted = fitted_scores(boosted, unseen)
    assert len(set(wanted)) > 500
    assert Trees(files.trees).scores(unseen).tolist() == wanted.tolist()
    assert WalkedTrees(files.trees).scores(unseen[:100].tolist()) == wanted[:100].tolist()


def test_equal_seeds_give_equal_trees_whatever_the_number_of_threads(table: pd.DataFrame) -> None:
    spec = vector_spec(table)
    parameters = BoostingParameters(rounds=5)
    one, two = (
        fit_boosting(table[:500], spec, parameters=parameters, seed=1, jobs=jobs)[0]
        for jobs in (1, 2)
    )
    assert to_onnx(one) == to_onnx(two)


def test_a_border_among_the_largest_values_is_found_that_255_bins_do_not_have() -> None:
    rng = np.random.default_rng(4)
    amounts = rng.permutation(60_000)
    table = pd.DataFrame({"amount_minor": amounts, "is_fraud": amounts >= 59_970})
    spec = VectorSpec(("amount_minor",), {})
    boosted, _ = fit_boosting(table, spec, parameters=SMALL, seed=1)
    below, above, beyond = Trees(to_onnx(boosted)).scores([[59_965.0], [59_972.0], [80_000.0]])
    # A bin of one in 255 has 235 of these rows, and a fraud would get a score of 0.13.
    assert below < 0.1
    assert above > 0.6
    assert beyond >= above


def test_a_missing_value_is_not_a_small_one(table: pd.DataFrame) -> None:
    rng = np.random.default_rng(5)
    means = rng.lognormal(8, 2, 3_000)
    is_missing = rng.random(3_000) < 0.3
    rows = table.assign(user_amount_mean_1d=np.where(is_missing, np.nan, means))
    rows["is_fraud"] = is_missing | (means > np.quantile(means, 0.97))
    spec = VectorSpec(("user_amount_mean_1d",), {})
    boosted, _ = fit_boosting(rows, spec, parameters=SMALL, seed=1)
    missing, small, large = Trees(to_onnx(boosted)).scores([[np.nan], [1.0], [means.max()]])
    assert missing > 0.9
    assert small < 0.1
    assert large > 0.9


def test_weighted_frauds_do_not_change_what_a_score_means(table: pd.DataFrame) -> None:
    spec = vector_spec(table)
    share = table["is_fraud"].mean()
    for weight in (1.0, 20.0):
        parameters = BoostingParameters(rounds=60, fraud_weight=weight)
        boosted, _ = fit_boosting(table, spec, parameters=parameters, seed=1)
        scores = fitted_scores(boosted, encode_table(table, spec))
        assert scores.mean() == pytest.approx(share, abs=0.005)


BOTH_LIBRARIES = pytest.mark.parametrize("of_library", [BoostingParameters, LightGbmParameters])


@BOTH_LIBRARIES
def test_without_newer_rows_all_rounds_are_fitted_and_with_them_those_up_to_the_smallest_loss(
    table: pd.DataFrame, of_library: type[BoostingParameters]
) -> None:
    spec = vector_spec(table)
    older, newer = table[:2_000], table[2_000:]
    parameters = of_library(rounds=300, learning_rate=0.3)
    boosted, stopped = fit_trees(older, spec, parameters=parameters, seed=1, newer=newer)
    assert isinstance(stopped, of_library)
    assert 1 <= stopped.rounds < 100
    # The same trees as if that number had been asked for.
    asked, same = fit_trees(older, spec, parameters=stopped, seed=1)
    assert same == stopped
    assert to_onnx(asked) == to_onnx(boosted)


@BOTH_LIBRARIES
def test_the_importance_of_a_column_is_its_share_of_the_gain(
    table: pd.DataFrame, of_library: type[BoostingParameters]
) -> None:
    spec = vector_spec(table)
    small = of_library(rounds=30, learning_rate=0.2)
    boosted, _ = fit_trees(table, spec, parameters=small, seed=1)
    shares = dict(zip(spec.columns, importances(boosted), strict=True))
    assert sum(shares.values()) == pytest.approx(1)
    telling = ("user_transaction_count_5m", "merchant_fraud_rate_7d_delay_7d")
    assert sum(shares[name] for name in telling) > 0.5
