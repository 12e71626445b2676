"""A model that may become champion: fitted on the older rows, judged on the newest.

Its parameters may be chosen first, by the newest of the older rows; those are then fitted as well.
What is judged is what is registered: the forest is not grown again on all rows, so its figures are
its own, and later versions can be compared with it on rows it has not seen. Pure.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from features.definitions import DEFINITION_DIGEST
from models.compiled import CompiledModel, compile_forest, predict_compiled
from models.encoding.vector import VectorSpec
from training.datasets.rows import encode_table, vector_spec
from training.datasets.split import Split
from training.fitting.choose import Choice, choose_parameters
from training.fitting.evaluate import Comparison, Evaluation, Thresholds, compare, evaluate
from training.fitting.fit import ForestParameters, fit_forest
from training.fitting.verdict import (
    FRAUDS_MIN,
    Verdict,
    judge_challenger,
    judge_first,
    not_comparable,
)

logger = logging.getLogger(__name__)

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fitted model with what is known of it.

    Attributes:
        forest: the estimator.
        compiled: the form that scores.
        spec: of its vectors.
        choice: what it was grown by, and what else was tried.
        fitted: the rows it was fitted on.
        test: newer rows.
        scores: its scores of `test`, by the compiled trees.
        evaluation: on `test`; None if that has one kind of rows only.
    """

    forest: RandomForestClassifier
    compiled: CompiledModel
    spec: VectorSpec
    choice: Choice
    fitted: pd.DataFrame
    test: pd.DataFrame
    scores: Scores
    evaluation: Evaluation | None

    @property
    def fitted_until_ms(self) -> int:
        """Newest event time of the rows it was fitted on, ms since 1970 UTC."""
        return int(self.fitted["event_time_ms"].max())


@dataclass(frozen=True, slots=True)
class Opponent:
    """The champion, as far as comparing needs it.

    Attributes:
        version: its number.
        trees: its compiled trees.
        spec: of its vectors.
        fitted_until_ms: newest event time it was fitted on; rows up to it would flatter it.
    """

    version: str
    trees: bytes
    spec: VectorSpec
    fitted_until_ms: int


def fit_candidate(
    split: Split,
    *,
    parameters: ForestParameters,
    thresholds: Thresholds,
    seed: int,
    grid: Sequence[ForestParameters] = (),
    jobs: int = 1,
) -> Candidate:
    """Fit on the older rows, compile, and judge on the newest.

    With a grid, parameters are chosen first: fitted on the train part, tried on the validation
    part. Then, and without a grid at once, both parts are fitted, so that no row is lost to a
    choice that is made already; the test part is for judging alone. Where the older rows are of
    one kind only, all rows are fitted and nothing is judged.

    Args:
        split: its parts with ``is_fraud``; together of both kinds.
        parameters: of the forest; with a grid, what is taken if the rows cannot tell.
        thresholds: of the policy.
        seed: equal seeds and rows give equal candidates.
        grid: what to choose from; empty chooses nothing.
        jobs: threads to grow the forest with.

    Raises:
        CompiledModelMismatchError: the compiled trees score otherwise.
    """
    choice = Choice(parameters)
    if grid:
        choice = choose_parameters(split, grid, otherwise=parameters, seed=seed, jobs=jobs)
    fitted, test = split.fitted, split.test
    if fitted["is_fraud"].nunique() < 2:
        logger.warning(
            "the older %d rows are of one kind; all are fitted, none judged", len(fitted)
        )
        fitted, test = pd.concat([fitted, test]), test.iloc[:0]
    spec = vector_spec(fitted)
    forest = fit_forest(fitted, spec, parameters=choice.parameters, seed=seed, jobs=jobs)
    compiled = compile_forest(forest, spec, encode_table(fitted, spec), seed=seed)
    is_judged = test["is_fraud"].nunique() == 2
    scores = _scored(compiled.trees, spec, test)
    return Candidate(
        forest=forest,
        compiled=compiled,
        spec=spec,
        choice=choice,
        fitted=fitted,
        test=test,
        scores=scores,
        evaluation=evaluate(test, scores, thresholds=thresholds, seed=seed) if is_judged else None,
    )


def opponent(
    version: str, *, trees: bytes | None, signature: bytes | None, tags: dict[str, str]
) -> Opponent | str:
    """Make the champion comparable, or say why it is none to the scorer either.

    Args:
        version: its number.
        trees: its file ``weir/trees.onnx``; None if it has none.
        signature: its file ``weir/signature.json``; None likewise.
        tags: of the version; without ``fitted_until_ms`` it competes on all rows.
    """
    if tags.get("definition_digest") != DEFINITION_DIGEST:
        return f"champion version {version} follows other feature definitions"
    if trees is None or signature is None:
        return f"champion version {version} has no compiled trees"
    if hashlib.sha256(trees).hexdigest()[:16] != tags.get("trees_digest"):
        return f"the trees of champion version {version} were changed after it was registered"
    try:
        spec = VectorSpec.from_signature(signature)
        fitted_until_ms = int(tags.get("fitted_until_ms", "-1"))
    except ValueError as error:
        return f"champion version {version} cannot be read: {error!r:.200}"
    return Opponent(version, trees, spec, fitted_until_ms)


def contest(
    candidate: Candidate, champion: Opponent | str, *, thresholds: Thresholds, seed: int
) -> tuple[Verdict, Comparison | None]:
    """Decide between a candidate and the champion, on rows that neither was fitted on.

    Args:
        candidate: the challenger.
        champion: its opponent, or why there is none.
        thresholds: of the policy.
        seed: of the draws.
    """
    if isinstance(champion, str):
        return judge_first(candidate.evaluation, why_first=champion), None
    if absent := [name for name in champion.spec.columns if name not in candidate.test]:
        return not_comparable(champion.version, absent=absent), None
    is_new = (candidate.test["event_time_ms"] > champion.fitted_until_ms).to_numpy()
    rows = candidate.test[is_new]
    frauds = int(rows["is_fraud"].sum())
    if frauds < FRAUDS_MIN or frauds == len(rows):
        return judge_challenger(None, champion=champion.version, frauds=frauds), None
    comparison = compare(
        rows,
        challenger=candidate.scores[is_new],
        champion=_scored(champion.trees, champion.spec, rows),
        thresholds=thresholds,
        seed=seed,
    )
    return judge_challenger(comparison, champion=champion.version, frauds=frauds), comparison


def _scored(trees: bytes, spec: VectorSpec, rows: pd.DataFrame) -> Scores:
    if rows.empty:
        return np.zeros(0)
    return np.clip(predict_compiled(trees, encode_table(rows, spec)), 0.0, 1.0)
