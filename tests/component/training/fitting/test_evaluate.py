import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.artifact.trees import Trees
from models.encoding.table import encode_table
from tests.judged_rows import random_rows, rows
from tests.model_files import trained, training_table
from training.fitting.evaluate import Evaluation, Interval, compare, evaluate
from training.fitting.figures import Thresholds, figure_names

THRESHOLDS = Thresholds(review=0.5, block=0.9)


def judged(table: pd.DataFrame, scores: NDArray[np.float64], **more: int) -> Evaluation:
    return evaluate(table, scores, thresholds=THRESHOLDS, seed=1, **more)


def test_a_model_that_tells_apart_is_better_than_a_guess_and_its_interval_says_so() -> None:
    model = trained()
    test = training_table(200, seed=99)
    scores = Trees(model.files.trees).scores(encode_table(test, model.spec))
    evaluation = judged(test, scores)
    assert tuple(evaluation.figures) == figure_names()
    figure = evaluation.figures["average_precision"]
    assert figure.low < figure.value < figure.high
    assert figure.low > evaluation.frauds / evaluation.rows
    assert evaluation == judged(test, scores)


def test_a_user_with_many_rows_is_drawn_as_one() -> None:
    # A hundred rows of each of four users tell as much as four rows, not four hundred.
    few = [(0, f"u-{at % 4}", (0.2, 0.8, 0.4, 0.6)[at % 4], at % 4 in (1, 2)) for at in range(400)]
    many = [(0, f"u-{at}", score, fraud) for at, (_, _, score, fraud) in enumerate(few)]
    clustered, independent = (
        judged(*rows(*entries)).figures["average_precision"] for entries in (few, many)
    )
    assert clustered.value == independent.value
    assert clustered.high - clustered.low > 3 * (independent.high - independent.low)


def test_rows_of_one_kind_have_no_areas_rather_than_wrong_ones() -> None:
    model = trained()
    test = training_table(50).query("not is_fraud")
    scores = Trees(model.files.trees).scores(encode_table(test, model.spec))
    evaluation = judged(test, scores)
    assert np.isnan(evaluation.figures["auc"].value)
    metrics = evaluation.as_metrics()
    assert metrics["test_frauds"] == 0.0
    assert "test_auc" not in metrics
    assert all(np.isfinite(value) for value in metrics.values())


def test_metrics_are_named_for_the_test_part_with_their_intervals() -> None:
    evaluation = Evaluation(rows=10, frauds=1, figures={"auc": Interval(0.9, 0.8, float("nan"))})
    assert evaluation.as_metrics() == {
        "test_rows": 10.0,
        "test_frauds": 1.0,
        "test_auc": 0.9,
        "test_auc_low": 0.8,
    }


def test_pairs_see_a_small_difference_that_two_intervals_would_hide() -> None:
    table, scores = random_rows(seed=3, count=3_000)
    worse = scores.copy()
    frauds = np.flatnonzero(table["is_fraud"])
    worse[frauds[::20]] = 0.0
    comparison = compare(
        table, challenger=scores, champion=worse, thresholds=THRESHOLDS, seed=1, resamples=200
    )
    one, other = (judged(table, each, resamples=200) for each in (scores, worse))
    name = "average_precision"
    assert comparison.difference[name].low > 0
    assert other.figures[name].high > one.figures[name].low
    assert comparison.challenger[name] == one.figures[name].value
    assert comparison.champion[name] == other.figures[name].value


def test_a_model_is_not_better_than_itself() -> None:
    table, scores = random_rows(seed=4)
    same = compare(table, challenger=scores, champion=scores, thresholds=THRESHOLDS, seed=1)
    assert same.difference["average_precision"] == Interval(0.0, 0.0, 0.0)
