"""How good scores are: ranking, cards found a day, thresholds, calibration, each with an interval.

Intervals come from a bootstrap over users, not rows: the transactions of one user resemble each
other, and a user is what an investigator looks at. Two models are compared on the same rows and
the same draws. Pure; called by `train` and by the benches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.definitions import DAY_MS

CARDS_A_DAY: Final = 100
"""How many cards a day somebody can look at; the k of card precision@k."""
RESAMPLES: Final = 400
COVERED: Final = 0.95
"""The part of the resamples that an interval covers."""
CALIBRATION_BINS: Final = 10

Floats = NDArray[np.float64]
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The policy's thresholds, both strict."""

    review: float
    block: float


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it would lie with other users, at `COVERED`.

    NaN, all three, when the rows do not give the figure: no fraud, or nothing above a threshold.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one model on some rows.

    Attributes:
        rows: judged on.
        frauds: of them.
        figures: by name, see `figure_names`.
    """

    rows: int
    frauds: int
    figures: dict[str, Interval]

    def as_metrics(self) -> Figures:
        """Give what exists by name, as the registry takes it: ``test_auc``, ``test_auc_low``."""
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
        rows: judged on.
        frauds: of them.
        challenger: its figures.
        champion: its figures.
        difference: challenger less champion, drawn in pairs.
    """

    rows: int
    frauds: int
    challenger: Figures
    champion: Figures
    difference: dict[str, Interval]


def figure_names() -> tuple[str, ...]:
    """Give the names of all figures, in their order.

    ``auc``: area under the ROC curve. ``average_precision``: area under precision and recall;
    guessing gives the share of fraud. ``card_precision_at_100``: each day users are ranked by
    their highest score; the share of the first hundred that had a fraud; a user so found leaves
    the following days; the mean over the days. ``precision_*`` and ``recall_*``: of the
    transactions above a threshold. ``brier``: mean squared error of the score.
    ``calibration_error``: mean distance of score and share of fraud, over ten bins of equal width.
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


def evaluate(
    table: pd.DataFrame,
    scores: Floats,
    *,
    thresholds: Thresholds,
    seed: int,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Judge scores by rows that the model has not seen.

    Args:
        table: with ``is_fraud``, ``user_id`` and ``event_time_ms``, at least one row.
        scores: of its rows, in their order, 0 to 1.
        thresholds: of the policy.
        seed: of the draws.
        resamples: how many.
    """
    ranked = _Ranked(table, scores, thresholds)
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
        challenger: scores.
        champion: scores.
        thresholds: of the policy.
        seed: of the draws.
        resamples: how many.
    """
    ours, theirs = (_Ranked(table, scores, thresholds) for scores in (challenger, champion))
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


class _Ranked:
    """Rows in the order of one model's scores; figures for any weight of the users."""

    def __init__(self, table: pd.DataFrame, scores: Floats, thresholds: Thresholds) -> None:
        users = pd.factorize(table["user_id"])[0]
        truth = table["is_fraud"].to_numpy(dtype=bool)
        order = np.argsort(-scores, kind="stable")
        self._scores = scores[order]
        self._users = users[order]
        self._fraud = truth[order].astype(np.float64)
        # Rows of equal score are one step of every curve.
        self._step_ends = np.flatnonzero(np.append(np.diff(self._scores) != 0, [True]))
        self._above = {
            "review": int((scores > thresholds.review).sum()),
            "block": int((scores > thresholds.block).sum()),
        }
        self._bins = np.minimum(
            (self._scores * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1
        )
        days = table["event_time_ms"].to_numpy() // DAY_MS
        self._cards = _cards_by_day(days, users, scores, truth)

    def figures(self, draw: NDArray[np.int64] | None) -> Figures:
        """Give all figures; ``draw`` is how often each user counts, None for once."""
        count = int(self._users.max()) + 1
        of_user = np.ones(count) if draw is None else draw.astype(np.float64)
        weights = of_user[self._users]
        frauds = np.cumsum(weights * self._fraud)
        honest = np.cumsum(weights * (1 - self._fraud))
        auc, average_precision = _areas(frauds[self._step_ends], honest[self._step_ends])
        figures = [auc, average_precision, _card_precision(self._cards, of_user)]
        for above in self._above.values():
            hits = frauds[above - 1] if above else 0.0
            flagged = hits + (honest[above - 1] if above else 0.0)
            figures += [_ratio(hits, flagged), _ratio(hits, frauds[-1])]
        figures += self._calibration(weights)
        return dict(zip(figure_names(), figures, strict=True))

    def _calibration(self, weights: Floats) -> list[float]:
        total = float(weights.sum())
        brier = _ratio(float((weights * (self._scores - self._fraud) ** 2).sum()), total)
        apart = np.bincount(
            self._bins, weights=weights * (self._scores - self._fraud), minlength=CALIBRATION_BINS
        )
        return [brier, _ratio(float(np.abs(apart).sum()), total)]


def calibration_curve(table: pd.DataFrame, scores: Floats) -> list[tuple[float, float, int]]:
    """Give mean score, share of fraud and rows of each bin of equal width that holds rows."""
    fraud = table["is_fraud"].to_numpy(dtype=np.float64)
    bins = np.minimum((scores * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    return [
        (float(scores[inside].mean()), float(fraud[inside].mean()), int(inside.sum()))
        for inside in (bins == number for number in range(CALIBRATION_BINS))
        if inside.any()
    ]


def _areas(frauds: Floats, honest: Floats) -> tuple[float, float]:
    """Give the areas under ROC and under precision-recall from counts at the ends of the steps."""
    all_frauds, all_honest = float(frauds[-1]), float(honest[-1])
    if not (all_frauds and all_honest):
        return np.nan, np.nan
    more_honest = np.diff(honest, prepend=0.0)
    more_frauds = np.diff(frauds, prepend=0.0)
    auc = float((more_honest * (frauds - more_frauds / 2)).sum() / (all_frauds * all_honest))
    flagged = frauds + honest
    # A step that no drawn user is in has nothing flagged, and nothing more.
    precision = np.divide(frauds, flagged, out=np.zeros_like(frauds), where=flagged > 0)
    return auc, float((more_frauds * precision).sum() / all_frauds)


_Cards = list[tuple[NDArray[np.intp], NDArray[np.bool_]]]


def _cards_by_day(
    days: NDArray[np.int64], users: NDArray[np.intp], scores: Floats, truth: NDArray[np.bool_]
) -> _Cards:
    """Give the users of each day, highest score first, and whether they had a fraud that day."""
    cards = (
        pd.DataFrame({"day": days, "user": users, "score": scores, "fraud": truth})
        .groupby(["day", "user"], as_index=False, sort=True)
        .agg({"score": "max", "fraud": "max"})
        .sort_values(["day", "score"], ascending=[True, False], kind="stable")
    )
    return [
        (of_day["user"].to_numpy(dtype=np.intp), of_day["fraud"].to_numpy(dtype=bool))
        for _, of_day in cards.groupby("day", sort=True)
    ]


def _card_precision(cards: _Cards, of_user: Floats) -> float:
    left = of_user.copy()
    found_a_day = []
    for users, fraud in cards:
        weights = left[users]
        room = np.clip(CARDS_A_DAY - (np.cumsum(weights) - weights), 0.0, weights)
        found = fraud & (room > 0)
        found_a_day.append(float(room[found].sum()) / CARDS_A_DAY)
        left[users[found]] = 0.0
    return float(np.mean(found_a_day))


def _draws(table: pd.DataFrame, *, seed: int, resamples: int) -> list[NDArray[np.int64]]:
    """Draw as many users as there are, with replacement: how often each was drawn."""
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


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan


Scorer = Callable[[pd.DataFrame], Floats]
"""Scores the rows of a table, in their order."""
