"""The figures that a model is judged by, computed from scores and labels.

`RankedRows` sorts the rows by score once and then gives all figures for any weights of the users,
so that a bootstrap costs little. Knows no interval and no second model; those are in
`training.fitting.evaluate`, which calls this module. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.definitions import DAY_MS
from training.fitting.card_precision import CARDS_A_DAY, card_precision, cards_by_day

CALIBRATION_BINS: Final = 10

Floats = NDArray[np.float64]
Figures = dict[str, float]
"""Value by name, see `figure_names`; NaN when the rows do not determine the figure."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The policy's thresholds; only a score above one exceeds it."""

    review: float
    block: float


def figure_names() -> tuple[str, ...]:
    """Give the names of all figures, in their order.

    ``auc``: area under the ROC curve. ``average_precision``: area under the precision-recall
    curve; guessing gives the share of fraud. ``card_precision_at_100``: see
    `training.fitting.card_precision`. ``precision_*`` and ``recall_*``: of the transactions above
    a threshold. ``brier``: mean squared error of the score. ``calibration_error``: mean distance
    between score and share of fraud, over ten bins of equal width.
    """
    return (
        "auc",
        "average_precision",
        f"card_precision_at_{CARDS_A_DAY}",
        "precision_at_review",
        "recall_at_review",
        "precision_at_block",
        "recall_at_block",
        "brier",
        "calibration_error",
    )


class RankedRows:
    """Rows sorted by one model's scores, highest first."""

    def __init__(self, table: pd.DataFrame, scores: Floats, thresholds: Thresholds) -> None:
        """Sort the rows.

        Args:
            table: with ``is_fraud``, ``user_id`` and ``event_time_ms``, at least one row.
            scores: of its rows, in their order, 0 to 1.
            thresholds: of the policy.
        """
        users = pd.factorize(table["user_id"])[0]
        is_fraud = table["is_fraud"].to_numpy(dtype=bool)
        order = np.argsort(-scores, kind="stable")
        self._scores = scores[order]
        self._users = users[order]
        self._fraud = is_fraud[order].astype(np.float64)
        # Rows of equal score form one step of every curve.
        self._step_ends = np.flatnonzero(np.append(np.diff(self._scores) != 0, [True]))
        self._counts_above = (
            int((scores > thresholds.review).sum()),
            int((scores > thresholds.block).sum()),
        )
        self._bins = _bins(self._scores)
        days = table["event_time_ms"].to_numpy() // DAY_MS
        self._cards = cards_by_day(days, users, scores, is_fraud)

    def figures(self, draw: NDArray[np.int64] | None) -> Figures:
        """Give all figures.

        Args:
            draw: how often each user counts; None: each once.
        """
        users = int(self._users.max()) + 1
        user_weights = np.ones(users) if draw is None else draw.astype(np.float64)
        weights = user_weights[self._users]
        frauds = np.cumsum(weights * self._fraud)
        honest = np.cumsum(weights * (1 - self._fraud))
        auc, average_precision = _areas(frauds[self._step_ends], honest[self._step_ends])
        figures = [auc, average_precision, card_precision(self._cards, user_weights)]
        for above in self._counts_above:
            hits = frauds[above - 1] if above else 0.0
            flagged = hits + (honest[above - 1] if above else 0.0)
            figures += [_ratio(hits, flagged), _ratio(hits, frauds[-1])]
        figures += self._calibration(weights)
        return dict(zip(figure_names(), figures, strict=True))

    def _calibration(self, weights: Floats) -> list[float]:
        total = float(weights.sum())
        brier = _ratio(float((weights * (self._scores - self._fraud) ** 2).sum()), total)
        distances = np.bincount(
            self._bins, weights=weights * (self._scores - self._fraud), minlength=CALIBRATION_BINS
        )
        return [brier, _ratio(float(np.abs(distances).sum()), total)]


def calibration_curve(table: pd.DataFrame, scores: Floats) -> list[tuple[float, float, int]]:
    """Give mean score, share of fraud and row count of each bin that holds rows.

    Args:
        table: with ``is_fraud``.
        scores: of its rows, 0 to 1; the bins have equal width.
    """
    fraud = table["is_fraud"].to_numpy(dtype=np.float64)
    bins = _bins(scores)
    return [
        (float(scores[inside].mean()), float(fraud[inside].mean()), int(inside.sum()))
        for inside in (bins == number for number in range(CALIBRATION_BINS))
        if inside.any()
    ]


def _bins(scores: Floats) -> NDArray[np.intp]:
    return np.minimum((scores * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)


def _areas(frauds: Floats, honest: Floats) -> tuple[float, float]:
    """Give the areas under ROC and precision-recall from the counts at the ends of the steps."""
    all_frauds, all_honest = float(frauds[-1]), float(honest[-1])
    if not (all_frauds and all_honest):
        return np.nan, np.nan
    more_honest = np.diff(honest, prepend=0.0)
    more_frauds = np.diff(frauds, prepend=0.0)
    auc = float((more_honest * (frauds - more_frauds / 2)).sum() / (all_frauds * all_honest))
    flagged = frauds + honest
    # The first steps flag nothing when none of their users was drawn; they add nothing either.
    precision = np.divide(frauds, flagged, out=np.zeros_like(frauds), where=flagged > 0)
    return auc, float((more_frauds * precision).sum() / all_frauds)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan
