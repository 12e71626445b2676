import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from features.definitions import DAY_MS
from models.compiled import predict_compiled
from tests.model_files import trained, training_table
from training.datasets.rows import encode_table
from training.fitting.evaluate import (
    Evaluation,
    Interval,
    Thresholds,
    calibration_curve,
    compare,
    evaluate,
    figure_names,
)

THRESHOLDS = Thresholds(review=0.5, block=0.9)


def judged(table: pd.DataFrame, scores: NDArray[np.float64], **more: int) -> Evaluation:
    return evaluate(table, scores, thresholds=THRESHOLDS, seed=1, **more)


def rows(*entries: tuple[int, str, float, bool]) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Rows of (day, user, score, fraud)."""
    table = pd.DataFrame(
        {
            "event_time_ms": [day * DAY_MS for day, *_ in entries],
            "user_id": [user for _, user, *_ in entries],
            "is_fraud": [fraud for *_, fraud in entries],
        }
    )
    return table, np.array([score for _, _, score, _ in entries])


def random_rows(*, seed: int, count: int = 500) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Rows whose scores have many ties."""
    rng = np.random.default_rng(seed)
    fraud = rng.random(count) < 0.2
    table = pd.DataFrame(
        {
            "event_time_ms": rng.integers(0, 5 * DAY_MS, count),
            "user_id": [f"u-{at}" for at in rng.integers(0, 80, count)],
            "is_fraud": fraud,
        }
    )
    return table, np.round(np.clip(rng.normal(0.3 + 0.3 * fraud, 0.2), 0, 1), 1)


@pytest.mark.parametrize("seed", range(5))
def test_areas_and_squared_error_are_those_of_scikit_learn_ties_included(seed: int) -> None:
    table, scores = random_rows(seed=seed)
    truth = table["is_fraud"].to_numpy()
    figures = judged(table, scores, resamples=1).figures
    assert figures["auc"].value == pytest.approx(roc_auc_score(truth, scores))
    assert figures["average_precision"].value == pytest.approx(
        average_precision_score(truth, scores)
    )
    assert figures["brier"].value == pytest.approx(brier_score_loss(truth, scores))
    for name, threshold in (("review", 0.5), ("block", 0.9)):
        flagged = scores > threshold
        assert figures[f"precision_at_{name}"].value == pytest.approx(truth[flagged].mean())
        assert figures[f"recall_at_{name}"].value == pytest.approx(flagged[truth].mean())


def test_a_score_on_a_threshold_is_not_above_it() -> None:
    table, scores = rows((0, "a", 0.5, True), (0, "b", 0.5001, True), (0, "c", 0.9, False))
    figures = judged(table, scores).figures
    assert figures["precision_at_review"].value == 0.5
    assert figures["recall_at_review"].value == 0.5
    assert np.isnan(figures["precision_at_block"].value)
    assert figures["recall_at_block"].value == 0.0


def test_card_precision_takes_a_hundred_cards_a_day_and_found_ones_leave() -> None:
    honest = [(day, f"h-{at}", 0.5, False) for day in (0, 1) for at in range(98)]
    table, scores = rows(
        *honest,
        (0, "first", 0.1, False),
        (0, "first", 0.9, True),  # ranked by its highest score: found, and gone on day 1
        (0, "second", 0.8, True),
        (0, "below", 0.2, True),  # the 101st card of the day
        (1, "first", 0.9, True),
        (1, "below", 0.2, True),  # the 99th, once the first has left
    )
    value = judged(table, scores).figures["card_precision_at_100"].value
    assert value == pytest.approx((0.02 + 0.01) / 2)


def test_a_calibrated_score_has_no_error_and_a_sure_one_that_is_wrong_has_all() -> None:
    entries = [(0, f"u-{at}", 0.25, at % 4 == 0) for at in range(100)]
    assert judged(*rows(*entries)).figures["calibration_error"].value == pytest.approx(0.0)
    table, scores = rows(*[(0, f"u-{at}", 1.0, False) for at in range(5)], (0, "f", 0.0, True))
    assert judged(table, scores).figures["calibration_error"].value == pytest.approx(1.0)
    assert calibration_curve(table, scores) == [(0.0, 1.0, 1), (1.0, 0.0, 5)]


def test_a_model_that_tells_apart_is_better_than_a_guess_and_its_interval_says_so() -> None:
    model = trained()
    test = training_table(200, seed=99)
    scores = predict_compiled(model.compiled.trees, encode_table(test, model.spec))
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
    scores = predict_compiled(model.compiled.trees, encode_table(test, model.spec))
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
