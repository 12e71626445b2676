import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.artifact.compile_forest import fitted_scores
from models.artifact.lightgbm_trees import LightGbmTrees
from models.artifact.onnx_file import read_tree_arrays
from models.artifact.onnx_forest import to_onnx
from models.artifact.trees import Trees
from models.artifact.walked_trees import WalkedTrees

COLUMNS = 5
QUIET = {"objective": "binary", "verbosity": -1, "num_threads": 1}


def vectors(rows: int, *, gaps: float, seed: int = 3) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, COLUMNS)).astype(np.float32).astype(np.float64)
    values[rng.random(values.shape) < gaps] = np.nan
    return values


def fitted(
    table: NDArray[np.float64], is_fraud: NDArray[np.bool_], *, rounds: int = 10, **options: object
) -> LightGbmTrees:
    rows = lightgbm.Dataset(
        table,
        is_fraud.astype(int),
        categorical_feature=options.pop("categorical_feature", "auto"),
        params={**QUIET, **options},
    )
    return LightGbmTrees(lightgbm.train({**QUIET, **options}, rows, rounds))


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(0, 10_000))
def test_trees_score_as_lightgbm_alone_and_in_batches(data: st.DataObject, seed: int) -> None:
    rng = np.random.default_rng(seed)
    draw = data.draw
    table = vectors(draw(st.integers(20, 300)), gaps=draw(st.sampled_from([0, 0.3])), seed=seed)
    table *= draw(st.sampled_from([1.0, 1e9]))
    table[:, 3] = rng.integers(0, 3, len(table))
    is_fraud = rng.permutation(np.arange(len(table)) < draw(st.integers(2, len(table) - 2)))
    trees = fitted(
        table,
        is_fraud,
        rounds=draw(st.integers(1, 20)),
        learning_rate=draw(st.sampled_from([0.05, 1.0])),
        min_data_in_leaf=draw(st.sampled_from([1, 20, 1_000])),
        max_bin=draw(st.sampled_from([15, 255, 4_095])),
    )
    content = to_onnx(trees)
    # An infinite threshold tells missing values from all others.
    splits = [0.0, *(split for split in read_tree_arrays(content).splits if np.isfinite(split))]
    # Values on a threshold and beside it; what was fitted on; anything else, with gaps.
    on = rng.choice(splits, (30, COLUMNS))
    beside = np.nextafter(on, rng.choice([-np.inf, np.inf], on.shape))
    rows = np.vstack([on, beside, table[:30], vectors(30, gaps=0.5, seed=seed) * 1e6])
    compiled = Trees(content)
    wanted = fitted_scores(trees, rows).tolist()
    assert compiled.scores(rows).tolist() == wanted
    assert [float(compiled.scores(row[None])[0]) for row in rows[::9]] == wanted[::9]
    assert WalkedTrees(content).scores(rows.tolist()) == wanted


def test_a_value_that_was_never_missing_while_fitting_counts_as_zero_when_it_is() -> None:
    table = vectors(500, gaps=0.0)
    trees = fitted(table, table[:, 0] > 0.3)
    missing, zero, other = Trees(to_onnx(trees)).scores(
        [[value, 0, 0, 0, 0] for value in (np.nan, 0.0, 1.0)]
    )
    assert missing == zero != other


def test_a_value_next_to_zero_is_zero_as_it_is_to_lightgbm() -> None:
    table = vectors(500, gaps=0.0)
    table[:250, 0], table[250:, 0] = np.sign(table[:250, 1]), 0.0
    for is_fraud in (table[:, 0] > 0, table[:, 0] < 0):
        trees = fitted(table, is_fraud)
        rows = np.zeros((6, COLUMNS))
        rows[:, 0] = (-1.0, -1.1e-35, -1e-35, 1e-35, 1.1e-35, 1.0)
        scores = Trees(to_onnx(trees)).scores(rows).tolist()
        assert scores == fitted_scores(trees, rows).tolist()
        assert scores[0] == scores[1]
        assert scores[2] == scores[3]
        assert scores[4] == scores[5]
        assert len(set(scores)) == 2


@pytest.mark.parametrize("options", [{"categorical_feature": [3]}, {"zero_as_missing": True}])
def test_splits_that_the_operator_does_not_have_are_refused(options: dict[str, object]) -> None:
    table = vectors(500, gaps=0.0)
    table[:, 3] = np.arange(500) % 5
    trees = fitted(table, np.isin(table[:, 3], (0, 2)), **options)
    with pytest.raises(ValueError, match="by category"):
        to_onnx(trees)
