"""Who decides next: whether a new version takes the place of the champion, and why or why not.

Pure: figures in, a verdict in words out. Knows no registry; `train` carries the verdict out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from training.fitting.evaluate import Comparison, Evaluation, Interval

DECIDING_FIGURE: Final = "average_precision"
"""What must be better. Of the figures the one that notices a lost fraud among a hundred honest
transactions, whatever the thresholds are."""
FIRST_FIGURE: Final = "auc"
"""What a first model must be better in than guessing, which gives `GUESSED`: whether it tells
fraud from honest at all shows in this figure with fewer frauds than in any other."""
GUESSED: Final = 0.5
FRAUDS_MIN: Final = 10
"""Frauds that a model is judged on at least; fewer show anything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a version becomes the champion.

    Attributes:
        promotes: it does.
        reason: why, or why not, in one sentence with the figures.
    """

    promotes: bool
    reason: str


def judge_first(evaluation: Evaluation | None, *, why_first: str) -> Verdict:
    """Judge a version that has no champion to beat: it must be better than guessing.

    Not better than the heuristic: its score is no probability, so only its ranking would compare,
    and what it lacks for good, learning from a label, it would lack again tomorrow.

    Args:
        evaluation: on rows the version has not seen; None if they are of one kind only.
        why_first: what is said of the champion.
    """
    if evaluation is None or evaluation.frauds < FRAUDS_MIN:
        return Verdict(
            promotes=True,
            reason=f"{why_first}; fewer than {FRAUDS_MIN} frauds to judge it by",
        )
    figure = evaluation.figures[FIRST_FIGURE]
    said = f"{FIRST_FIGURE} {shown(figure)}, guessing gives {GUESSED}"
    if figure.low > GUESSED:
        return Verdict(promotes=True, reason=f"{why_first}; {said}")
    return Verdict(promotes=False, reason=f"no better than guessing by more than noise: {said}")


def judge_challenger(comparison: Comparison | None, *, champion: str, frauds: int) -> Verdict:
    """Judge a version against the champion: better by more than noise, on the same rows.

    Args:
        comparison: on rows that neither was fitted on; None if they were too few.
        champion: its version.
        frauds: how many frauds those rows hold.
    """
    if comparison is None:
        return Verdict(
            promotes=False,
            reason=f"only {frauds} frauds are newer than what champion version {champion} was "
            f"fitted on, {FRAUDS_MIN} are needed to tell; train again when more are known",
        )
    difference = comparison.difference[DECIDING_FIGURE]
    said = (
        f"{DECIDING_FIGURE} {comparison.challenger[DECIDING_FIGURE]:.4f}, champion version "
        f"{champion} has {comparison.champion[DECIDING_FIGURE]:.4f} on the same "
        f"{comparison.rows} rows; difference {shown(difference)}"
    )
    if difference.low > 0:
        return Verdict(promotes=True, reason=f"better by more than noise: {said}")
    return Verdict(promotes=False, reason=f"not better by more than noise: {said}")


def not_comparable(champion: str, *, absent: Sequence[str]) -> Verdict:
    """Refuse a version whose rows lack what the champion scores by.

    Args:
        champion: its version.
        absent: columns of the champion's vectors that the rows do not have.
    """
    return Verdict(
        promotes=False,
        reason=f"champion version {champion} scores by {', '.join(absent)}, which these rows do "
        "not have: they cannot be compared; train on a data set",
    )


def shown(figure: Interval) -> str:
    """Give a figure with its interval.

    Examples:
        >>> shown(Interval(0.5, 0.41, 0.62))
        '0.5000 [0.4100, 0.6200]'
    """
    return f"{figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]"
