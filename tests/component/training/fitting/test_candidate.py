from dataclasses import replace

import pandas as pd
import pytest

from tests.model_files import training_table
from training.datasets.split import split_by_time
from training.fitting.baseline import NoBaseline, judge_candidate
from training.fitting.candidate import Candidate, fit_candidate
from training.fitting.figures import Thresholds
from training.fitting.fit import ForestParameters

THRESHOLDS = Thresholds(review=0.5, block=0.9)
FOREST = ForestParameters(trees=20, depth_max=6)
SEED = 5


def fitted(table: pd.DataFrame) -> Candidate:
    return fit_candidate(split_by_time(table), parameters=FOREST, thresholds=THRESHOLDS, seed=SEED)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return training_table(1_500)


@pytest.fixture(scope="module")
def good(table: pd.DataFrame) -> Candidate:
    return fitted(table)


def test_a_candidate_is_evaluated_on_rows_newer_than_those_it_was_fitted_on(
    good: Candidate,
) -> None:
    assert good.fitted_until_ms < good.test["event_time_ms"].min()
    assert len(good.scores) == len(good.test)
    assert good.evaluation is not None
    assert good.evaluation.figures["auc"].low > 0.8


def test_with_a_grid_the_chosen_parameters_are_fitted_on_the_validation_rows_too(
    table: pd.DataFrame, good: Candidate
) -> None:
    split = split_by_time(table)
    stump = replace(FOREST, depth_max=1)
    chosen = fit_candidate(
        split, parameters=stump, thresholds=THRESHOLDS, seed=SEED, grid=(stump, FOREST)
    )
    assert chosen.choice.parameters == FOREST
    assert [each.parameters for each in chosen.choice.tried] == [stump, FOREST]
    assert chosen.fitted.index.tolist() == split.fitted.index.tolist()
    # The same as without a choice: only the chosen forest is evaluated on the test rows.
    assert chosen.files == good.files
    assert chosen.evaluation == good.evaluation


def test_if_the_older_rows_are_of_one_class_all_are_fitted_and_none_evaluated(
    table: pd.DataFrame,
) -> None:
    late = table.assign(is_fraud=table.index >= len(table) - 20)
    candidate = fitted(late)
    assert candidate.evaluation is None
    assert len(candidate.scores) == len(candidate.test) == 0
    assert len(candidate.fitted) == len(late)
    verdict, _ = judge_candidate(
        candidate, NoBaseline("there is no champion yet"), thresholds=THRESHOLDS, seed=SEED
    )
    assert verdict.promotes
