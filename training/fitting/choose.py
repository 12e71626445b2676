"""Chooses what a forest is grown by: each of a few is fitted on the older rows, tried on newer.

The rows that a model is judged on play no part, so its figures stay its own. Pure.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Final

from sklearn.metrics import average_precision_score

from training.datasets.rows import encode_table, vector_spec
from training.datasets.split import Split
from training.fitting.fit import ForestParameters, fit_forest
from training.fitting.verdict import FRAUDS_MIN

logger = logging.getLogger(__name__)

GRID: Final = tuple(
    ForestParameters(depth_max=depth_max, leaf_rows_min=leaf_rows_min)
    for depth_max, leaf_rows_min in product((8, 12, 20), (20, 5, 1))
)
"""What is tried, the smallest trees first: of equals the first is taken."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was tried and what was taken.

    Attributes:
        parameters: to fit with.
        tried: each of the grid with its average precision on the validation rows, in the order
            of the grid; empty if the rows could not tell.
    """

    parameters: ForestParameters
    tried: tuple[tuple[ForestParameters, float], ...] = ()

    def as_report(self) -> list[dict[str, Any]]:
        """Give what was tried, as JSON takes it."""
        return [{**asdict(parameters), "average_precision": ap} for parameters, ap in self.tried]


def choose_parameters(
    split: Split,
    grid: Sequence[ForestParameters],
    *,
    otherwise: ForestParameters,
    seed: int,
    jobs: int = 1,
) -> Choice:
    """Fit each of a grid on the train rows and take what has the best average precision.

    Takes as long as fitting each of them once.

    Args:
        split: what is fitted on and what is tried on; its test part is not looked at.
        grid: at least one; of equals the first is taken.
        otherwise: taken where the validation rows hold fewer than `FRAUDS_MIN` frauds, or the
            train rows are of one kind: there is nothing to tell the grid apart by.
        seed: equal seeds and rows give equal choices.
        jobs: threads to grow the forests with.
    """
    wanted = split.validation["is_fraud"].to_numpy(dtype=bool)
    if wanted.sum() < FRAUDS_MIN or wanted.all() or split.train["is_fraud"].nunique() < 2:
        logger.warning("too few frauds to choose parameters by; taking %s", otherwise)
        return Choice(otherwise)
    spec = vector_spec(split.train)
    vectors = encode_table(split.validation, spec)
    tried = []
    for parameters in grid:
        forest = fit_forest(split.train, spec, parameters=parameters, seed=seed, jobs=jobs)
        precision = float(average_precision_score(wanted, forest.predict_proba(vectors)[:, 1]))
        logger.info("%s: average precision %.4f", parameters, precision)
        tried.append((parameters, precision))
    best, _ = max(tried, key=lambda each: each[1])
    return Choice(best, tuple(tried))
