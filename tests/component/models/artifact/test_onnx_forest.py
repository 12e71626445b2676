import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from models.artifact.onnx_forest import to_onnx
from models.artifact.trees import Trees

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
