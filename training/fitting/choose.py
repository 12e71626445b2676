"""Chooses the parameters of a forest on the validation rows.

Each parameter set of a grid is fitted on the train rows and evaluated on the validation rows. The
test rows are not used, so the figures that a model gets on them stay unbiased. Pure. Called by
`training.fitting.candidate`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Final

from sklearn.metrics import average_precision_score

from models.encoding.table import encode_table
from training.datasets.split import Split
from training.fitting.fit import ForestParameters, fit_forest
from training.fitting.verdict import FRAUDS_MIN

logger = logging.getLogger(__name__)

GRID: Final = tuple(
    ForestParameters(depth_max=depth_max, leaf_rows_min=leaf_rows_min)
    for depth_max, leaf_rows_min in product((8, 12, 20), (20, 5, 1))
)
"""The default grid, smallest trees first: of equally good parameters the first are taken."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen parameters, and those that were tried.

    Attributes:
        parameters: the chosen ones.
        tried: each of the grid with its average precision on the validation rows, in the order
            of the grid; empty if there were too few frauds to choose by.
    """

    parameters: ForestParameters
    tried: tuple[tuple[ForestParameters, float], ...] = ()

    def as_report(self) -> list[dict[str, Any]]:
        """Give what was tried as JSON values."""
        return [{**asdict(parameters), "average_precision": ap} for parameters, ap in self.tried]


def choose_parameters(
    split: Split,
    grid: Sequence[ForestParameters],
    *,
    default: ForestParameters,
    seed: int,
    jobs: int = 1,
) -> Choice:
    """Fit each parameter set of a grid and take the one with the best average precision.

    Takes as long as fitting each of them once.

    Args:
        split: its train part is fitted on, its validation part evaluates; its test part is not
            used.
        grid: at least one; of equally good ones the first is taken.
        default: taken if the validation part has fewer than `FRAUDS_MIN` frauds or no honest
            row, or if the train part has rows of one class only.
        seed: equal seeds and rows give equal choices.
        jobs: number of threads.
    """
    is_fraud = split.validation["is_fraud"].to_numpy(dtype=bool)
    if is_fraud.sum() < FRAUDS_MIN or is_fraud.all() or split.train["is_fraud"].nunique() < 2:
        logger.warning("too few frauds to choose parameters by; taking %s", default)
        return Choice(default)
    spec = split.vector_spec(split.train)
    vectors = encode_table(split.validation, spec)
    tried = []
    for parameters in grid:
        forest = fit_forest(split.train, spec, parameters=parameters, seed=seed, jobs=jobs)
        precision = float(average_precision_score(is_fraud, forest.predict_proba(vectors)[:, 1]))
        logger.info("%s: average precision %.4f", parameters, precision)
        tried.append((parameters, precision))
    best, _ = max(tried, key=lambda each: each[1])
    return Choice(best, tuple(tried))
