import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.batch import BATCH_NAMES
from features.definitions import DEFINITION_DIGEST
from models.artifact.files import GOLDEN_PATH, SIGNATURE_PATH, TREES_PATH
from models.artifact.trees import Trees
from tests.model_files import trained, training_table
from training.datasets.split import split_by_time
from training.fitting.baseline import Baseline, NoBaseline, judge_candidate, load_baseline
from training.fitting.candidate import Candidate, fit_candidate
from training.fitting.figures import Thresholds
from training.fitting.fit import ForestParameters

THRESHOLDS = Thresholds(review=0.5, block=0.9)
FOREST = ForestParameters(trees=20, depth_max=6)
SEED = 5
NO_CHAMPION = NoBaseline("there is no champion yet")

TAGS = {
    "definition_digest": DEFINITION_DIGEST,
    "trees_digest": trained().files.trees_digest,
    "fitted_until_ms": "7",
}


def fitted(table: pd.DataFrame) -> Candidate:
    return fit_candidate(split_by_time(table), parameters=FOREST, thresholds=THRESHOLDS, seed=SEED)


def champion(candidate: Candidate, **changes: Any) -> Baseline:
    return replace(
        Baseline(
            version="3",
            trees=Trees(candidate.files.trees),
            spec=candidate.spec,
            fitted_until_ms=candidate.fitted_until_ms,
        ),
        **changes,
    )


def judged(candidate: Candidate, baseline: Baseline | NoBaseline) -> Any:
    return judge_candidate(candidate, baseline, thresholds=THRESHOLDS, seed=SEED)


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with random labels in its older part."""
    rng = np.random.default_rng(SEED)
    older = split_by_time(table).fitted.index
    worse = table.copy()
    worse.loc[older, "is_fraud"] = rng.permutation(table.loc[older, "is_fraud"].to_numpy())
    return worse


@pytest.fixture(scope="module")
def good() -> Candidate:
    return fitted(training_table(1_500))


@pytest.fixture(scope="module")
def bad() -> Candidate:
    return fitted(shuffled(training_table(1_500)))


def test_a_worse_model_is_refused_and_a_better_one_promoted(
    good: Candidate, bad: Candidate
) -> None:
    refused, _ = judged(bad, champion(good))
    promoted, comparison = judged(good, champion(bad))
    same, _ = judged(good, champion(good))
    assert (refused.promotes, promoted.promotes, same.promotes) == (False, True, False)
    assert comparison is not None
    assert comparison.rows == len(good.test)


def test_a_first_model_that_learnt_nothing_is_refused(good: Candidate, bad: Candidate) -> None:
    first, _ = judged(good, NO_CHAMPION)
    nothing, _ = judged(bad, NO_CHAMPION)
    assert (first.promotes, nothing.promotes) == (True, False)


def test_only_rows_that_the_champion_was_not_fitted_on_are_compared(good: Candidate) -> None:
    times = good.test["event_time_ms"]
    middle_ms = int(times.iloc[150])
    _, comparison = judged(good, champion(good, fitted_until_ms=middle_ms))
    assert comparison is not None
    assert comparison.rows == int((times > middle_ms).sum())
    verdict, none = judged(good, champion(good, fitted_until_ms=int(times.max())))
    assert none is None
    assert not verdict.promotes
    assert "only 0 positives are newer" in verdict.reason


def test_a_champion_that_takes_columns_the_rows_lack_is_not_compared(good: Candidate) -> None:
    spec = replace(good.spec, columns=(*good.spec.columns, *BATCH_NAMES[:1]))
    verdict, none = judged(good, champion(good, spec=spec))
    assert none is None
    assert not verdict.promotes
    assert f"version 3 scores by {BATCH_NAMES[0]}, which" in verdict.reason


def loaded(tags: dict[str, str] = TAGS, **changes: bytes | None) -> Baseline | NoBaseline:
    paths = {"trees": TREES_PATH, "signature": SIGNATURE_PATH, "golden": GOLDEN_PATH}
    content: dict[str, bytes | None] = dict(trained().files.by_path())
    content |= {paths[name]: value for name, value in changes.items()}
    return load_baseline(content.__getitem__, name="weir-fraud", version="3", tags=tags)


def test_a_champion_that_the_scorer_takes_is_a_baseline() -> None:
    found = loaded()
    assert isinstance(found, Baseline)
    assert (found.version, found.fitted_until_ms, found.spec) == ("3", 7, trained().spec)


def test_a_champion_without_a_time_counts_as_fitted_on_no_row() -> None:
    found = loaded({name: tag for name, tag in TAGS.items() if name != "fitted_until_ms"})
    assert isinstance(found, Baseline)
    assert found.fitted_until_ms == -1


REFUSED: dict[str, Callable[[], Baseline | NoBaseline]] = {
    "other feature definitions": lambda: loaded({**TAGS, "definition_digest": "another"}),
    "has no file weir/trees.onnx": lambda: loaded(trees=None),
    "has no file weir/signature.json": lambda: loaded(signature=None),
    "has no file weir/golden.json": lambda: loaded(golden=None),
    "changed after it was registered": lambda: loaded(trees=trained().files.trees + b"x"),
    "was trained on feature definitions None": lambda: loaded(signature=b"{}"),
    "golden rows score differently": lambda: loaded(
        golden=json.dumps({**json.loads(trained().files.golden), "scores": [0.123] * 200}).encode()
    ),
    "invalid literal for int": lambda: loaded({**TAGS, "fitted_until_ms": "soon"}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_champion_that_the_scorer_refuses_is_no_baseline_and_the_reason_says_why(
    why: str,
) -> None:
    found = REFUSED[why]()
    assert isinstance(found, NoBaseline)
    assert found.reason.startswith("champion version 3 ")
    assert why in found.reason
