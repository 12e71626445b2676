import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from models.artifact.compile_forest import fitted_scores
from models.artifact.onnx_file import read_tree_arrays
from models.artifact.onnx_forest import TreeEstimator, to_onnx
from models.artifact.trees import Trees
from models.artifact.walked_trees import WalkedTrees

COLUMNS = 5


def vectors(rows: int, *, gaps: float, seed: int = 3) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, COLUMNS)).astype(np.float32).astype(np.float64)
    values[rng.random(values.shape) < gaps] = np.nan
    return values


def fitted(table: NDArray[np.float64], **parameters: int) -> RandomForestClassifier:
    rng = np.random.default_rng(4)
    risk = np.nan_to_num(table[:, 0], nan=2.0) + np.isnan(table[:, 1]) + rng.normal(size=len(table))
    forest = RandomForestClassifier(n_estimators=10, random_state=5, n_jobs=1, **parameters)
    return forest.fit(table, risk > 1.5)


@pytest.mark.parametrize("gaps", [0.0, 0.3])
@pytest.mark.parametrize("depth", [1, 4, 30])
def test_scores_are_those_of_scikit_learn_to_the_last_bit(gaps: float, depth: int) -> None:
    forest = fitted(vectors(2_000, gaps=gaps), max_depth=depth)
    unseen = vectors(500, gaps=gaps, seed=6)
    wanted = forest.predict_proba(unseen)[:, 1]
    assert Trees(to_onnx(forest)).scores(unseen).tolist() == wanted.tolist()
    assert len(set(wanted)) > 2


def test_a_split_may_depend_on_missing_values_alone() -> None:
    # Such a split has an infinite threshold, and only missing values take one of its branches.
    table = np.where(vectors(400, gaps=0.0) > 0, 1.0, np.nan)
    forest = RandomForestClassifier(5, random_state=1, n_jobs=1).fit(table, np.isnan(table[:, 2]))
    assert any(np.isinf(tree.tree_.threshold).any() for tree in forest.estimators_)
    wanted = forest.predict_proba(table)[:, 1]
    assert Trees(to_onnx(forest)).scores(table).tolist() == wanted.tolist()
    assert len(set(wanted)) > 1


def test_a_tree_without_splits_gives_its_one_probability() -> None:
    table = vectors(300, gaps=0.0)
    forest = fitted(table, min_samples_leaf=200)
    assert {tree.tree_.node_count for tree in forest.estimators_} == {1}
    wanted = forest.predict_proba(table[:3])[:, 1]
    assert 0 < wanted[0] < 1
    assert Trees(to_onnx(forest)).scores(table[:3]).tolist() == wanted.tolist()


def test_a_forest_of_other_classes_is_refused() -> None:
    table = vectors(50, gaps=0.0)
    forest = RandomForestClassifier(2).fit(table, np.arange(50) % 3)
    with pytest.raises(ValueError, match=r"classes \[.*\], must have"):
        to_onnx(forest)


@st.composite
def estimators(draw: st.DrawFn) -> tuple[TreeEstimator, NDArray[np.float64]]:
    """Fitted trees of either family, and the rows that they were fitted on."""
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    table = vectors(draw(st.integers(20, 300)), gaps=draw(st.sampled_from([0, 0.3])), seed=seed)
    table *= draw(st.sampled_from([1.0, 1e9]))
    table[:, 3] = rng.integers(0, 3, len(table))
    is_fraud = rng.permutation(np.arange(len(table)) < draw(st.integers(2, len(table) - 2)))
    if draw(st.booleans()):
        return RandomForestClassifier(5, random_state=seed).fit(table, is_fraud), table
    boosting = HistGradientBoostingClassifier(
        max_iter=draw(st.integers(1, 20)),
        learning_rate=draw(st.sampled_from([0.05, 1.0])),
        min_samples_leaf=draw(st.sampled_from([1, 20, 1_000])),
        early_stopping=False,
        random_state=seed,
    )
    return boosting.fit(table, is_fraud), table


@settings(max_examples=30, deadline=None)
@given(estimators(), st.integers(0, 10_000))
def test_trees_of_either_family_score_as_scikit_learn_alone_and_in_batches(
    drawn: tuple[TreeEstimator, NDArray[np.float64]], seed: int
) -> None:
    estimator, table = drawn
    content = to_onnx(estimator)
    # An infinite threshold tells missing values from all others.
    splits = [0.0, *(split for split in read_tree_arrays(content).splits if np.isfinite(split))]
    rng = np.random.default_rng(seed)
    # Values on a threshold and beside it; what was fitted on; anything else.
    on = rng.choice(splits, (30, COLUMNS))
    beside = np.nextafter(on, rng.choice([-np.inf, np.inf], on.shape))
    rows = np.vstack([on, beside, table[:30], vectors(30, gaps=0.5, seed=seed) * 1e6])
    trees = Trees(content)
    wanted = fitted_scores(estimator, rows).tolist()
    assert trees.scores(rows).tolist() == wanted
    assert [float(trees.scores(row[None])[0]) for row in rows[::9]] == wanted[::9]
    assert WalkedTrees(content).scores(rows.tolist()) == wanted
