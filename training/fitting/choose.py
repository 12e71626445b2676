"""Chooses the family and the parameters of a model on the validation rows.

Each parameter set of a grid is fitted on the train rows and evaluated on the validation rows. The
test rows are not used, so the figures that a model gets on them stay unbiased. Pure. Called by
`training.fitting.candidate`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score

from features.definitions import DAY_MS
from models.artifact.compile_forest import fitted_scores
from models.encoding.table import encode_table
from training.datasets.split import Split
from training.fitting.card_precision import card_precision, cards_by_day
from training.fitting.families import Parameters, as_record, fit_trees
from training.fitting.verdict import POSITIVES_MIN

logger = logging.getLogger(__name__)

CLOSE: Final = 0.005
"""Models whose average precision is at most this far below the best one are told apart by their
card precision."""


class Tried(NamedTuple):
    """A parameter set and its figures on the validation rows.

    Attributes:
        parameters: as fitted; of boosting with the rounds at which it stopped.
        average_precision: see `training.fitting.figures.figure_names`.
        card_precision: see `training.fitting.card_precision`.
    """

    parameters: Parameters
    average_precision: float
    card_precision: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen parameters, and those that were tried.

    Attributes:
        parameters: the chosen ones.
        tried: each of the grid, in its order; empty if there were too few positives to choose by.
    """

    parameters: Parameters
    tried: tuple[Tried, ...] = ()

    @property
    def best(self) -> Tried | None:
        """What was chosen, with its figures; None if nothing was tried."""
        return next((each for each in self.tried if each.parameters == self.parameters), None)

    def as_report(self) -> list[dict[str, Any]]:
        """Give what was tried as JSON values."""
        return [
            {
                **as_record(each.parameters),
                "average_precision": each.average_precision,
                "card_precision": each.card_precision,
            }
            for each in self.tried
        ]


def choose_parameters(
    split: Split,
    grid: Sequence[Parameters],
    *,
    default: Parameters,
    seed: int,
    jobs: int = 1,
) -> Choice:
    """Fit each parameter set of a grid and take the best one.

    The best average precision wins. Among those that are at most `CLOSE` below it, the best card
    precision wins. Takes as long as fitting each of them once.

    Args:
        split: its train part is fitted on, its validation part evaluates, and ends boosting early;
            its test part is not used.
        grid: at least one; of equally good ones the first is taken.
        default: taken if the validation part has fewer than `POSITIVES_MIN` positives or no other
            row, or if the train part has rows of one class only.
        seed: equal seeds and rows give equal choices.
        jobs: number of threads.
    """
    validation = split.validation
    is_fraud = validation["is_fraud"].to_numpy(dtype=bool)
    if is_fraud.sum() < POSITIVES_MIN or is_fraud.all() or split.train["is_fraud"].nunique() < 2:
        logger.warning("too few positives to choose parameters by; taking %s", default)
        return Choice(default)
    spec = split.vector_spec(split.train)
    vectors = encode_table(validation, spec)
    users = np.asarray(validation["user_id"].factorize()[0])
    days = validation["event_time_ms"].to_numpy() // DAY_MS
    tried = []
    for parameters in grid:
        estimator, fitted = fit_trees(
            split.train, spec, parameters=parameters, seed=seed, jobs=jobs, newer=validation
        )
        scores = fitted_scores(estimator, vectors)
        cards = cards_by_day(days, users, scores, is_fraud)
        each = Tried(
            fitted,
            float(average_precision_score(is_fraud, scores)),
            card_precision(cards, np.ones(users.max() + 1)),
        )
        logger.info(
            "%s: average precision %.4f, card precision %.4f",
            each.parameters,
            each.average_precision,
            each.card_precision,
        )
        tried.append(each)
    return Choice(best_of(tried).parameters, tuple(tried))


def best_of(tried: Sequence[Tried]) -> Tried:
    """Take the best card precision among those close to the best average precision.

    Examples:
        >>> a, b, c = Tried(1, 0.700, 0.30), Tried(2, 0.697, 0.31), Tried(3, 0.69, 0.4)
        >>> best_of([a, b, c]).parameters
        2
    """
    least = max(each.average_precision for each in tried) - CLOSE
    close = [each for each in tried if each.average_precision >= least]
    return max(close, key=lambda each: each.card_precision)
