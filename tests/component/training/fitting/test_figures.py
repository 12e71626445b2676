import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from tests.judged_rows import random_rows, rows
from training.fitting.figures import (
    Figures,
    RankedRows,
    Thresholds,
    calibration_curve,
    figure_names,
)

THRESHOLDS = Thresholds(review=0.5, block=0.9)


def figures_of(table: pd.DataFrame, scores: NDArray[np.float64]) -> Figures:
    return RankedRows(table, scores, THRESHOLDS).figures(None)


@pytest.mark.parametrize("seed", range(5))
def test_areas_and_squared_error_are_those_of_scikit_learn_ties_included(seed: int) -> None:
    table, scores = random_rows(seed=seed)
    truth = table["is_fraud"].to_numpy()
    figures = figures_of(table, scores)
    assert figures["auc"] == pytest.approx(roc_auc_score(truth, scores))
    assert figures["average_precision"] == pytest.approx(average_precision_score(truth, scores))
    assert figures["brier"] == pytest.approx(brier_score_loss(truth, scores))
    for name, threshold in (("review", 0.5), ("block", 0.9)):
        flagged = scores > threshold
        assert figures[f"precision_at_{name}"] == pytest.approx(truth[flagged].mean())
        assert figures[f"recall_at_{name}"] == pytest.approx(flagged[truth].mean())


def test_a_score_on_a_threshold_is_not_above_it() -> None:
    table, scores = rows((0, "a", 0.5, True), (0, "b", 0.5001, True), (0, "c", 0.9, False))
    figures = figures_of(table, scores)
    assert figures["precision_at_review"] == 0.5
    assert figures["recall_at_review"] == 0.5
    assert np.isnan(figures["precision_at_block"])
    assert figures["recall_at_block"] == 0.0


def test_a_calibrated_score_has_no_error_and_a_sure_one_that_is_wrong_has_all() -> None:
    entries = [(0, f"u-{at}", 0.25, at % 4 == 0) for at in range(100)]
    assert figures_of(*rows(*entries))["calibration_error"] == pytest.approx(0.0)
    table, scores = rows(*[(0, f"u-{at}", 1.0, False) for at in range(5)], (0, "f", 0.0, True))
    assert figures_of(table, scores)["calibration_error"] == pytest.approx(1.0)
    assert calibration_curve(table, scores) == [(0.0, 1.0, 1), (1.0, 0.0, 5)]


def test_a_user_counts_as_often_as_a_draw_says() -> None:
    table, scores = rows(
        (0, "a", 0.95, True), (0, "b", 0.8, False), (0, "b", 0.7, True), (1, "c", 0.2, False)
    )
    twice, scores_twice = rows(
        *[(0, "a", 0.95, True)] * 2,
        *[(0, f"b{copy}", 0.8, False) for copy in (1, 2, 3)],
        *[(0, f"b{copy}", 0.7, True) for copy in (1, 2, 3)],
    )
    drawn = RankedRows(table, scores, THRESHOLDS).figures(np.array([2, 3, 0]))
    expanded = figures_of(twice, scores_twice)
    for name in figure_names():
        if not name.startswith("card_precision"):  # counts cards of days, not rows
            assert drawn[name] == pytest.approx(expanded[name]), name
