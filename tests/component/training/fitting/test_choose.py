from dataclasses import replace

import pandas as pd
import pytest

from tests.model_files import training_table
from training.datasets.split import Split, split_by_time
from training.fitting.boosting import BoostingParameters
from training.fitting.choose import CLOSE, Tried, best_of, choose_parameters
from training.fitting.families import FORESTS, Family
from training.fitting.fit import ForestParameters
from training.fitting.verdict import POSITIVES_MIN

SMALL = ForestParameters(trees=10, depth_max=1)
LARGE = ForestParameters(trees=10, depth_max=6)
SEED = 5


@pytest.fixture(scope="module")
def split() -> Split:
    return split_by_time(training_table(1_000))


def test_what_tells_fraud_best_on_the_validation_rows_is_taken(split: Split) -> None:
    choice = choose_parameters(split, (SMALL, LARGE), default=SMALL, seed=SEED)
    assert choice.parameters == LARGE
    of_small, of_large = choice.tried
    assert of_small.average_precision < of_large.average_precision
    assert choice.best == of_large
    assert choice.as_report()[1]["depth_max"] == LARGE.depth_max
    assert choice.as_report()[1]["family"] == "forest"


def test_the_rows_to_judge_by_play_no_part(split: Split) -> None:
    other = replace(split, test=split.test.assign(is_fraud=~split.test["is_fraud"]))
    wanted = choose_parameters(split, (SMALL, LARGE), default=SMALL, seed=SEED)
    assert choose_parameters(other, (SMALL, LARGE), default=SMALL, seed=SEED) == wanted


def test_of_equals_the_first_is_taken_and_the_default_grid_begins_with_the_smallest_trees(
    split: Split,
) -> None:
    # The same forests: no tree of this table grows that deep.
    deep, deeper = (replace(LARGE, depth_max=depth) for depth in (60, 61))
    choice = choose_parameters(split, (deep, deeper), default=SMALL, seed=SEED)
    assert choice.parameters == deep
    depths = [parameters.depth_max for parameters in FORESTS]
    assert depths == sorted(depths)
    assert ForestParameters() in FORESTS


@pytest.mark.parametrize(("frauds", "is_chosen"), [(9, False), (10, True)])
def test_with_too_few_frauds_nothing_is_chosen(
    split: Split, frauds: int, *, is_chosen: bool
) -> None:
    assert POSITIVES_MIN == 10
    validation: pd.DataFrame = split.validation.assign(
        is_fraud=[at < frauds for at in range(len(split.validation))]
    )
    choice = choose_parameters(
        replace(split, validation=validation), (LARGE,), default=SMALL, seed=SEED
    )
    assert choice.parameters == (LARGE if is_chosen else SMALL)
    assert bool(choice.tried) == is_chosen


def test_rows_of_one_kind_choose_nothing(split: Split) -> None:
    honest = split.train.assign(is_fraud=False)
    choice = choose_parameters(replace(split, train=honest), (LARGE,), default=SMALL, seed=SEED)
    assert (choice.parameters, choice.tried) == (SMALL, ())


def test_among_models_close_to_the_best_average_precision_card_precision_decides() -> None:
    # Exactly representable, so that the border is where it is written.
    best = 0.5
    for below, taken in ((CLOSE, LARGE), (CLOSE + 1e-9, SMALL)):
        tried = (Tried(SMALL, best, 0.30), Tried(LARGE, best - below, 0.31))
        assert best_of(tried).parameters == taken
    assert best_of((Tried(SMALL, best, 0.3), Tried(LARGE, best, 0.3))).parameters == SMALL


def test_boosting_stops_early_and_the_choice_has_the_rounds_that_are_left(split: Split) -> None:
    wanted = BoostingParameters(rounds=400, learning_rate=0.3)
    choice = choose_parameters(split, (SMALL, wanted), default=SMALL, seed=SEED)
    (_, boosted) = choice.tried
    assert isinstance(boosted.parameters, BoostingParameters)
    assert 1 <= boosted.parameters.rounds < 200
    assert choice.parameters == boosted.parameters
    assert choice.as_report()[1]["family"] == "boosting"


def test_each_family_has_a_default_and_a_grid() -> None:
    assert Family.FOREST.grid(is_large=False) == ()
    assert Family.BOOSTING.grid(is_large=False) == (BoostingParameters(),)
    assert Family.AUTO.grid(is_large=False) == (ForestParameters(), BoostingParameters())
    assert Family.FOREST.grid(is_large=True) == FORESTS
    both = (*Family.FOREST.grid(is_large=True), *Family.BOOSTING.grid(is_large=True))
    assert Family.AUTO.grid(is_large=True) == both
    assert BoostingParameters() in both
    assert {type(Family(name).default()) for name in ("forest", "auto")} == {ForestParameters}
