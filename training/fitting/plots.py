"""Draws three plots of a model: precision and recall, calibration, importance of the columns.

Each is returned as the bytes of a PNG; no file, no window, no global state of matplotlib. Called
by `training.registry.version_record`.
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

from training.fitting.figures import calibration_curve

DOTS_PER_INCH = 100
COLUMNS_SHOWN = 20


def precision_recall(table: pd.DataFrame, scores: NDArray[np.float64]) -> bytes:
    """Draw precision over recall; a dotted line shows the precision of guessing.

    Args:
        table: with ``is_fraud``, rows of both classes.
        scores: of its rows.
    """
    figure, axes = _empty("precision and recall", x="recall", y="precision")
    precision, recall, _ = precision_recall_curve(table["is_fraud"].to_numpy(dtype=int), scores)
    axes.step(recall, precision, where="post")
    axes.axhline(float(table["is_fraud"].mean()), linestyle=":", color="grey")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    return _png(figure)


def calibration(table: pd.DataFrame, scores: NDArray[np.float64]) -> bytes:
    """Draw the share of positives over the mean score of each bin; the diagonal is perfect.

    Args:
        table: with ``is_fraud``.
        scores: of its rows.
    """
    figure, axes = _empty("calibration", x="mean score", y="share of positives")
    curve = calibration_curve(table, scores)
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    axes.plot([score for score, _, _ in curve], [share for _, share, _ in curve], marker="o")
    for score, share, rows in curve:
        axes.annotate(f"{rows:,}", (score, share), textcoords="offset points", xytext=(4, -10))
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    return _png(figure)


def importance(columns: Sequence[str], importances: NDArray[np.float64]) -> bytes:
    """Draw the most important columns, by their share of the decrease of impurity.

    Args:
        columns: names.
        importances: of each column; they sum to 1.
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
    # Without matplotlib's version in the metadata, equal models give equal bytes.
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()
