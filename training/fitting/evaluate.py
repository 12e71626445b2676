"""Evaluates a model, or compares two, on labelled rows: each figure with its interval.

The intervals come from a bootstrap over users instead of rows, because the transactions of one
user resemble each other. Two models are compared on the same rows and the same draws (a paired
bootstrap). Pure; called by `training.fitting.candidate`, `training.fitting.baseline` and the
benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.fitting.figures import Figures, Floats, RankedRows, Thresholds

RESAMPLES: Final = 400
COVERED: Final = 0.95
"""The part of the resamples that an interval covers."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the interval that covers `COVERED` of its resamples.

    ``value`` is NaN when the rows do not determine the figure: no fraud, or nothing above a
    threshold. The ends are NaN when no resample determines it.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one model on some rows.

    Attributes:
        rows: how many rows.
        frauds: how many of them are fraud.
        figures: by name, see `training.fitting.figures.figure_names`.
    """

    rows: int
    frauds: int
    figures: dict[str, Interval]

    def as_metrics(self) -> Figures:
        """Give the finite values by the names that the registry logs: ``test_auc_low``, ..."""
        metrics = {"test_rows": float(self.rows), "test_frauds": float(self.frauds)}
        for name, interval in self.figures.items():
            for suffix, value in (
                ("", interval.value),
                ("_low", interval.low),
                ("_high", interval.high),
            ):
                if np.isfinite(value):
                    metrics[f"test_{name}{suffix}"] = value
        return metrics


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same rows.

    Attributes:
        rows: how many rows.
        frauds: how many of them are fraud.
        challenger: its figures.
        champion: its figures.
        difference: challenger minus champion, resampled in pairs.
    """

    rows: int
    frauds: int
    challenger: Figures
    champion: Figures
    difference: dict[str, Interval]


def evaluate(
    table: pd.DataFrame,
    scores: Floats,
    *,
    thresholds: Thresholds,
    seed: int,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Evaluate scores on rows that the model was not fitted on.

    Args:
        table: with ``is_fraud``, ``user_id`` and ``event_time_ms``, at least one row.
        scores: of its rows, in their order, 0 to 1.
        thresholds: of the policy.
        seed: of the draws.
        resamples: how many draws.
    """
    ranked = RankedRows(table, scores, thresholds)
    drawn = [ranked.figures(draw) for draw in _draws(table, seed=seed, resamples=resamples)]
    whole = ranked.figures(None)
    return Evaluation(
        rows=len(table),
        frauds=int(table["is_fraud"].sum()),
        figures={
            name: _interval(whole[name], [figures[name] for figures in drawn]) for name in whole
        },
    )


def compare(
    table: pd.DataFrame,
    *,
    challenger: Floats,
    champion: Floats,
    thresholds: Thresholds,
    seed: int,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare two models' scores of the same rows, by a paired bootstrap.

    Args:
        table: as for `evaluate`; rows that neither model was fitted on.
        challenger: its scores.
        champion: its scores.
        thresholds: of the policy.
        seed: of the draws.
        resamples: how many draws.
    """
    ours, theirs = (RankedRows(table, scores, thresholds) for scores in (challenger, champion))
    pairs = [
        (ours.figures(draw), theirs.figures(draw))
        for draw in _draws(table, seed=seed, resamples=resamples)
    ]
    our_figures, their_figures = ours.figures(None), theirs.figures(None)
    return Comparison(
        rows=len(table),
        frauds=int(table["is_fraud"].sum()),
        challenger=our_figures,
        champion=their_figures,
        difference={
            name: _interval(
                our_figures[name] - their_figures[name],
                [us[name] - them[name] for us, them in pairs],
            )
            for name in our_figures
        },
    )


def _draws(table: pd.DataFrame, *, seed: int, resamples: int) -> list[NDArray[np.int64]]:
    """Draw as many users as there are, with replacement; give how often each was drawn."""
    users = int(table["user_id"].nunique())
    rng = np.random.default_rng(seed)
    return [np.bincount(rng.integers(0, users, users), minlength=users) for _ in range(resamples)]


def _interval(value: float, drawn: list[float]) -> Interval:
    known = np.asarray([figure for figure in drawn if np.isfinite(figure)])
    if not (np.isfinite(value) and len(known)):
        return Interval(value, np.nan, np.nan)
    outside = (1 - COVERED) / 2
    low, high = np.quantile(known, [outside, 1 - outside])
    return Interval(value, float(low), float(high))
