"""The baseline: the present champion, which a candidate is compared with.

A champion that the scorer would refuse is not a baseline; the candidate is then judged like a
first version. Knows no registry: the training run passes a function that reads the champion's
files. Called by the training run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from features.definitions import DEFINITION_DIGEST
from models.artifact.files import read_files
from models.artifact.load import load_model
from models.artifact.trees import Trees
from models.encoding.table import encode_table
from models.encoding.vector import COLUMNS, VectorSpec
from models.errors import ModelRefusedError
from training.fitting.candidate import Candidate
from training.fitting.evaluate import Comparison, compare
from training.fitting.figures import Thresholds
from training.fitting.verdict import (
    POSITIVES_MIN,
    Verdict,
    judge_challenger,
    judge_without_baseline,
    not_comparable,
)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The champion, ready to score.

    Attributes:
        version: its number.
        trees: its compiled trees.
        spec: of its vectors.
        fitted_until_ms: newest event time of the rows it was fitted on, ms since 1970 UTC. Its
            scores of rows up to then would look better than it is.
    """

    version: str
    trees: Trees
    spec: VectorSpec
    fitted_until_ms: int


@dataclass(frozen=True, slots=True)
class NoBaseline:
    """There is no champion to compare with.

    Attributes:
        reason: why, for the verdict.
    """

    reason: str


def load_baseline(
    read: Callable[[str], bytes | None],
    *,
    name: str,
    version: str,
    tags: Mapping[str, str],
    columns: Collection[str] = COLUMNS,
) -> Baseline | NoBaseline:
    """Load the champion as the scorer does, or say why the scorer refuses it.

    Args:
        read: gives the content of one of the version's files by path, None if it has no such file.
        name: of the registered model.
        version: number of the champion.
        tags: of the version. Without ``fitted_until_ms`` all rows count as new to it.
        columns: that can be filled.
    """
    if tags.get("definition_digest") != DEFINITION_DIGEST:
        return NoBaseline(f"champion version {version} follows other feature definitions")
    try:
        model = load_model(
            read_files(read, of=f"model {name} version {version}"),
            name=name,
            version=version,
            trees_digest=tags.get("trees_digest", ""),
            columns=columns,
        )
        fitted_until_ms = int(tags.get("fitted_until_ms", "-1"))
    except (ModelRefusedError, ValueError) as error:
        return NoBaseline(f"champion version {version} cannot be used: {error!s:.300}")
    return Baseline(version, model.trees, model.spec, fitted_until_ms)


def judge_candidate(
    candidate: Candidate, baseline: Baseline | NoBaseline, *, thresholds: Thresholds, seed: int
) -> tuple[Verdict, Comparison | None]:
    """Decide between a candidate and the champion, on rows that neither was fitted on.

    Args:
        candidate: the new version.
        baseline: the champion, or why there is none to compare with.
        thresholds: of the policy.
        seed: of the draws.

    Returns:
        The verdict, and the comparison that it rests on, if there was one.
    """
    if isinstance(baseline, NoBaseline):
        verdict = judge_without_baseline(candidate.evaluation, no_baseline=baseline.reason)
        return verdict, None
    if absent := [name for name in baseline.spec.columns if name not in candidate.test]:
        return not_comparable(baseline.version, absent=absent), None
    is_new = (candidate.test["event_time_ms"] > baseline.fitted_until_ms).to_numpy()
    rows = candidate.test[is_new]
    positives = int(rows["is_fraud"].sum())
    if positives < POSITIVES_MIN or positives == len(rows):
        return judge_challenger(None, champion=baseline.version, positives=positives), None
    comparison = compare(
        rows,
        challenger=candidate.scores[is_new],
        champion=baseline.trees.scores(encode_table(rows, baseline.spec)),
        thresholds=thresholds,
        seed=seed,
    )
    verdict = judge_challenger(comparison, champion=baseline.version, positives=positives)
    return verdict, comparison
