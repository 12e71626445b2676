"""A candidate: a newly fitted model that may become the champion.

It is fitted on the older rows and evaluated on the newest. The evaluated model is the one that is
registered; it is not fitted again on all rows. So its figures are its own, and later versions can
be compared with it on rows that it was not fitted on. Pure. Called by the training run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.artifact.compile_forest import compile_forest
from models.artifact.files import ModelFiles
from models.artifact.onnx_forest import TreeEstimator
from models.artifact.trees import Trees
from models.encoding.table import encode_table
from models.encoding.vector import VectorSpec
from training.datasets.split import Split
from training.fitting.choose import Choice, choose_parameters
from training.fitting.evaluate import Evaluation, evaluate
from training.fitting.families import Parameters, fit_trees
from training.fitting.figures import Thresholds

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fitted model with its evaluation.

    Attributes:
        estimator: the fitted trees.
        files: its compiled form, ready to be registered.
        spec: of its vectors.
        choice: its parameters, and the others that were tried.
        fitted: the rows it was fitted on.
        test: newer rows.
        scores: its scores of ``test``, by the compiled trees.
        evaluation: on ``test``; None if those rows are of one class only.
    """

    estimator: TreeEstimator
    files: ModelFiles
    spec: VectorSpec
    choice: Choice
    fitted: pd.DataFrame
    test: pd.DataFrame
    scores: NDArray[np.float64]
    evaluation: Evaluation | None

    @property
    def fitted_until_ms(self) -> int:
        """Newest event time of the rows it was fitted on, ms since 1970 UTC."""
        return int(self.fitted["event_time_ms"].max())


def fit_candidate(
    split: Split,
    *,
    parameters: Parameters,
    thresholds: Thresholds,
    seed: int,
    grid: Sequence[Parameters] = (),
    jobs: int = 1,
) -> Candidate:
    """Fit on the older rows, compile, and evaluate on the newest.

    With a grid, the parameters are chosen first: fitted on the train part, evaluated on the
    validation part, which also says when boosting stops. Then the model is fitted on both parts, so
    that no row is lost; without a grid this is the first step. The test part is used for the
    evaluation alone. If the older rows are of one class only, all rows are fitted and nothing is
    evaluated.

    Args:
        split: its parts with ``is_fraud``; together they have rows of both classes.
        parameters: of the model; with a grid, taken if there are too few positives to choose by.
        thresholds: of the policy.
        seed: equal seeds and rows give equal candidates.
        grid: the parameters to choose from; empty for no choice.
        jobs: number of threads.

    Raises:
        CompiledModelMismatchError: the compiled trees do not score as the fitted ones do.
    """
    choice = Choice(parameters)
    if grid:
        choice = choose_parameters(split, grid, default=parameters, seed=seed, jobs=jobs)
    fitted, test = split.fitted, split.test
    if fitted["is_fraud"].nunique() < 2:
        logger.warning(
            "the older %d rows are of one class; fitting all rows, evaluating none", len(fitted)
        )
        fitted, test = pd.concat([fitted, test]), test.iloc[:0]
    spec = split.vector_spec(fitted)
    estimator, _ = fit_trees(fitted, spec, parameters=choice.parameters, seed=seed, jobs=jobs)
    files = compile_forest(estimator, spec, encode_table(fitted, spec), seed=seed)
    scores = Trees(files.trees).scores(encode_table(test, spec))
    has_both_classes = test["is_fraud"].nunique() == 2
    return Candidate(
        estimator=estimator,
        files=files,
        spec=spec,
        choice=choice,
        fitted=fitted,
        test=test,
        scores=scores,
        evaluation=(
            evaluate(test, scores, thresholds=thresholds, seed=seed) if has_both_classes else None
        ),
    )
