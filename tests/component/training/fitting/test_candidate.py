from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.batch import BATCH_NAMES
from features.definitions import DEFINITION_DIGEST
from tests.model_files import trained, training_table
from training.datasets.split import split_by_time
from training.fitting.candidate import Candidate, Opponent, contest, fit_candidate, opponent
from training.fitting.evaluate import Thresholds
from training.fitting.fit import ForestParameters

THRESHOLDS = Thresholds(review=0.5, block=0.9)
FOREST = ForestParameters(trees=20, depth_max=6)
SEED = 5


def fitted(table: pd.DataFrame) -> Candidate:
    return fit_candidate(split_by_time(table), parameters=FOREST, thresholds=THRESHOLDS, seed=SEED)


def champion(candidate: Candidate, **changes: object) -> Opponent:
    return replace(
        Opponent(
            version="3",
            trees=candidate.compiled.trees,
            spec=candidate.spec,
            fitted_until_ms=candidate.fitted_until_ms,
        ),
        **changes,
    )


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with labels that mean nothing in its older part."""
    rng = np.random.default_rng(SEED)
    older = split_by_time(table).fitted.index
    worse = table.copy()
    worse.loc[older, "is_fraud"] = rng.permutation(table.loc[older, "is_fraud"].to_numpy())
    return worse


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return training_table(1_500)


@pytest.fixture(scope="module")
def good(table: pd.DataFrame) -> Candidate:
    return fitted(table)


@pytest.fixture(scope="module")
def bad(table: pd.DataFrame) -> Candidate:
    return fitted(shuffled(table))


def test_what_is_judged_is_what_would_score_on_rows_newer_than_it_has_seen(
    good: Candidate,
) -> None:
    assert good.fitted_until_ms < good.test["event_time_ms"].min()
    assert len(good.scores) == len(good.test)
    assert good.evaluation is not None
    assert good.evaluation.figures["auc"].low > 0.8


def test_a_model_made_worse_on_purpose_is_refused_and_the_better_one_taken(
    good: Candidate, bad: Candidate
) -> None:
    refused, _ = contest(bad, champion(good), thresholds=THRESHOLDS, seed=SEED)
    taken, comparison = contest(good, champion(bad), thresholds=THRESHOLDS, seed=SEED)
    same, _ = contest(good, champion(good), thresholds=THRESHOLDS, seed=SEED)
    assert (refused.promotes, taken.promotes, same.promotes) == (False, True, False)
    assert comparison is not None
    assert comparison.rows == len(good.test)


def test_a_first_model_that_learnt_nothing_is_refused(good: Candidate, bad: Candidate) -> None:
    first, _ = contest(good, "there is no champion yet", thresholds=THRESHOLDS, seed=SEED)
    nothing, _ = contest(bad, "there is no champion yet", thresholds=THRESHOLDS, seed=SEED)
    assert (first.promotes, nothing.promotes) == (True, False)


def test_only_rows_that_the_champion_has_not_seen_are_compared(good: Candidate) -> None:
    times = good.test["event_time_ms"]
    middle_ms = int(times.iloc[150])
    _, comparison = contest(
        good, champion(good, fitted_until_ms=middle_ms), thresholds=THRESHOLDS, seed=SEED
    )
    assert comparison is not None
    assert comparison.rows == int((times > middle_ms).sum())
    verdict, none = contest(
        good, champion(good, fitted_until_ms=int(times.max())), thresholds=THRESHOLDS, seed=SEED
    )
    assert none is None
    assert not verdict.promotes
    assert "only 0 frauds are newer" in verdict.reason


def test_a_champion_that_scores_by_what_the_rows_lack_is_not_compared(good: Candidate) -> None:
    spec = replace(good.spec, columns=(*good.spec.columns, *BATCH_NAMES[:1]))
    verdict, none = contest(good, champion(good, spec=spec), thresholds=THRESHOLDS, seed=SEED)
    assert none is None
    assert not verdict.promotes
    assert f"version 3 scores by {BATCH_NAMES[0]}, which" in verdict.reason


def test_with_a_grid_the_chosen_parameters_are_fitted_on_what_they_were_chosen_by_too(
    table: pd.DataFrame, good: Candidate
) -> None:
    split = split_by_time(table)
    stump = replace(FOREST, depth_max=1)
    chosen = fit_candidate(
        split, parameters=stump, thresholds=THRESHOLDS, seed=SEED, grid=(stump, FOREST)
    )
    assert chosen.choice.parameters == FOREST
    assert [parameters for parameters, _ in chosen.choice.tried] == [stump, FOREST]
    assert chosen.fitted.index.tolist() == split.fitted.index.tolist()
    # As if these had been asked for: the test rows are judged once, by the one that was chosen.
    assert chosen.compiled.trees == good.compiled.trees
    assert chosen.evaluation == good.evaluation


def test_where_the_older_rows_are_of_one_kind_all_are_fitted_and_none_judged(
    table: pd.DataFrame,
) -> None:
    late = table.assign(is_fraud=table.index >= len(table) - 20)
    candidate = fitted(late)
    assert candidate.evaluation is None
    assert len(candidate.fitted) == len(late)
    verdict, _ = contest(candidate, "there is no champion yet", thresholds=THRESHOLDS, seed=SEED)
    assert verdict.promotes


def test_a_champion_that_the_scorer_would_refuse_is_no_opponent_and_says_why() -> None:
    files = trained().files()
    tags = {
        "definition_digest": DEFINITION_DIGEST,
        "trees_digest": trained().compiled.trees_digest,
        "fitted_until_ms": "7",
    }
    found = opponent("3", trees=files.trees, signature=files.signature, tags=tags)
    assert isinstance(found, Opponent)
    assert (found.fitted_until_ms, found.spec) == (7, trained().spec)
    older = opponent(
        "3",
        trees=files.trees,
        signature=files.signature,
        tags={name: tags[name] for name in tags if name != "fitted_until_ms"},
    )
    assert isinstance(older, Opponent)
    assert older.fitted_until_ms == -1
    for why, changes in {
        "other feature definitions": {"tags": {**tags, "definition_digest": "another"}},
        "has no compiled trees": {"trees": None},
        "changed after": {"trees": files.trees + b"x"},
        "cannot be read": {"signature": b"{}"},
    }.items():
        arguments = {"trees": files.trees, "signature": files.signature, "tags": tags, **changes}
        refused = opponent("3", **arguments)
        assert isinstance(refused, str)
        assert why in refused
