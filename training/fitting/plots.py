"""Three pictures of a model for people: what it finds, whether its scores are shares, its columns.

PNG bytes out; no file, no window, no global state of matplotlib. Called by `train`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from training.fitting.evaluate import calibration_curve

DOTS_PER_INCH = 100
COLUMNS_SHOWN = 20


def precision_recall(table: pd.DataFrame, scores: NDArray[np.float64]) -> bytes:
    """Draw precision over recall, with the share of fraud, which is what guessing gives.

    Args:
        table: with ``is_fraud``, both kinds.
        scores: of its rows.
    """
    figure, axes = _empty("precision and recall", x="recall", y="precision")
    precision, recall, _ = precision_recall_curve(table["is_fraud"].to_numpy(dtype=int), scores)
    axes.step(recall, precision, where="post")
    axes.axhline(float(table["is_fraud"].mean()), linestyle=":", color="grey")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    return _png(figure)


def calibration(table: pd.DataFrame, scores: NDArray[np.float64]) -> bytes:
    """Draw the share of fraud over the mean score of each bin; a perfect score is the diagonal.

    Args:
        table: with ``is_fraud``.
        scores: of its rows.
    """
    figure, axes = _empty("calibration", x="mean score", y="share of fraud")
    curve = calibration_curve(table, scores)
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    axes.plot([score for score, _, _ in curve], [share for _, share, _ in curve], marker="o")
    for score, share, rows in curve:
        axes.annotate(f"{rows:,}", (score, share), textcoords="offset points", xytext=(4, -10))
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    return _png(figure)


def importance(columns: Sequence[str], importances: NDArray[np.float64]) -> bytes:
    """Draw the columns that split most, by the decrease of impurity they bring; the sum is 1.

    Args:
        columns: of the vector.
        importances: of each.
    """
    figure, axes = _empty("importance", x="share of the decrease of impurity", y="")
    order = np.argsort(importances)[-COLUMNS_SHOWN:]
    axes.barh([columns[at] for at in order], importances[order])
    return _png(figure)


def _empty(title: str, *, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _png(figure: Figure) -> bytes:
    # Without the date and the version of the program, equal models give equal bytes.
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()
