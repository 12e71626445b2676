"""Verdicts: whether a new version is good enough to replace the champion, and the reason.

The rules of promotion as far as figures decide them, for every model: a positive is a row whose
label is true, of the model of transactions a fraud. Knows no registry and no alias: the training
run carries the verdict out, and the parity gate may still stop it. Pure. Called by
`training.fitting.baseline`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from training.fitting.evaluate import Comparison, Evaluation, Interval

DECIDING_FIGURE: Final = "average_precision"
"""The figure in which a challenger must beat the champion. It notices one missed positive among a
hundred other rows and does not depend on the thresholds."""
FIRST_FIGURE: Final = "auc"
"""The figure in which a first model must beat guessing. It needs the fewest positives to show that
a model can tell them from other rows at all."""
FIRST_FIGURE_GUESSED: Final = 0.5
"""The value of `FIRST_FIGURE` that guessing gives."""
POSITIVES_MIN: Final = 10
"""The fewest positives that a model is judged on; with fewer, its figures are noise."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision about a new version.

    Attributes:
        promotes: whether it is to become the champion.
        reason: why, or why not, in one sentence with the figures; the version's tag says it.
    """

    promotes: bool
    reason: str


def judge_without_baseline(evaluation: Evaluation | None, *, no_baseline: str) -> Verdict:
    """Judge a version that has no champion to beat: it must be better than guessing.

    It is not compared with the heuristic. The heuristic's score is not a probability, so only the
    rankings would compare, and the heuristic can never learn from labels.

    Args:
        evaluation: on rows that the version was not fitted on; None if they are of one class.
        no_baseline: why there is no champion to compare with.
    """
    if evaluation is None or evaluation.frauds < POSITIVES_MIN:
        return Verdict(
            promotes=True,
            reason=f"{no_baseline}; fewer than {POSITIVES_MIN} positives to judge it by",
        )
    figure = evaluation.figures[FIRST_FIGURE]
    figures = f"{FIRST_FIGURE} {shown(figure)}, guessing gives {FIRST_FIGURE_GUESSED}"
    if figure.low > FIRST_FIGURE_GUESSED:
        return Verdict(promotes=True, reason=f"{no_baseline}; {figures}")
    return Verdict(promotes=False, reason=f"no better than guessing by more than noise: {figures}")


def judge_challenger(comparison: Comparison | None, *, champion: str, positives: int) -> Verdict:
    """Judge a version against the champion: it must be better by more than noise.

    Args:
        comparison: on rows that neither was fitted on; None if those hold too few positives.
        champion: its version number.
        positives: how many those rows hold.
    """
    if comparison is None:
        return Verdict(
            promotes=False,
            reason=f"only {positives} positives are newer than what champion version {champion} "
            f"was fitted on, {POSITIVES_MIN} are needed to tell; train again when more are known",
        )
    difference = comparison.difference[DECIDING_FIGURE]
    figures = (
        f"{DECIDING_FIGURE} {comparison.challenger[DECIDING_FIGURE]:.4f}, champion version "
        f"{champion} has {comparison.champion[DECIDING_FIGURE]:.4f} on the same "
        f"{comparison.rows} rows; difference {shown(difference)}"
    )
    if difference.low > 0:
        return Verdict(promotes=True, reason=f"better by more than noise: {figures}")
    return Verdict(promotes=False, reason=f"not better by more than noise: {figures}")


def not_comparable(champion: str, *, absent: Sequence[str]) -> Verdict:
    """Refuse a version whose rows the champion cannot score.

    Args:
        champion: its version number.
        absent: columns that the champion takes and the rows do not have.
    """
    return Verdict(
        promotes=False,
        reason=f"champion version {champion} scores by {', '.join(absent)}, which these rows do "
        "not have, so the two cannot be compared; train on a data set",
    )


def not_by_time(verdict: Verdict) -> Verdict:
    """Refuse a version that was fitted on rows which are newer than those that judge it."""
    return Verdict(
        promotes=False,
        reason="fitted on a stratified split, whose figures overstate a model: rows of one user "
        "are in several parts; train on a data set without --split, or with --split time; "
        f"{verdict.reason}",
    )


def only_as_challenger(verdict: Verdict) -> Verdict:
    """Keep a version from being promoted that is good enough, because a person asks for it."""
    if not verdict.promotes:
        return verdict
    return Verdict(
        promotes=False,
        reason=f"{verdict.reason}; good enough to be promoted, and asked for as a challenger",
    )


def shown(figure: Interval) -> str:
    """Format a figure with its interval.

    Examples:
        >>> shown(Interval(0.5, 0.41, 0.62))
        '0.5000 [0.4100, 0.6200]'
    """
    return f"{figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]"
