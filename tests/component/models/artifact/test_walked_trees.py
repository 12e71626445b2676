"""Trees walked in Python score as ONNX Runtime does, to the last bit, and refuse the same files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifact.onnx_file import read_tree_arrays
from models.artifact.trees import Trees
from models.artifact.walked_trees import WalkedTrees
from models.encoding.table import encode_table
from tests.model_files import trained, training_table


def test_scores_are_those_of_onnx_runtime_to_the_last_bit() -> None:
    model = trained()
    vectors = encode_table(training_table(2_000, seed=11), model.spec)
    # Values next to a threshold, in 32 bits and in 64: the cast decides the branch.
    splits = np.array(read_tree_arrays(model.files.trees).splits)
    near = np.resize(np.concatenate([splits, np.nextafter(splits, np.inf)]), vectors.shape)
    missing = np.where(np.random.default_rng(3).random(vectors.shape) < 0.3, np.nan, vectors)
    rows = np.concatenate([vectors, near, missing])
    walked = WalkedTrees(model.files.trees).scores(rows.tolist())
    assert walked == Trees(model.files.trees).scores(rows).tolist()


def test_a_vector_of_another_width_is_refused() -> None:
    trees = WalkedTrees(trained().files.trees)
    with pytest.raises(ValueError, match="columns"):
        trees.scores([[0.0] * (trees.columns + 1)])


def set_circle(attributes: Any) -> None:
    attributes["nodes_truenodeids"].ints[5] = 0
    attributes["nodes_trueleafs"].ints[5] = 0


def compare_otherwise(attributes: Any) -> None:
    tensor = attributes["nodes_modes"].t
    tensor.raw_data = b"\x01" * len(tensor.raw_data)


CHANGES: dict[str, Callable[[Any], object]] = {
    "a minimum": lambda of: setattr(of["aggregate_function"], "i", 2),
    "other comparisons": compare_otherwise,
    "a circle": set_circle,
    "a column too many": lambda of: of["nodes_featureids"].ints.__setitem__(0, 10_000),
    "a leaf too many": lambda of: of["nodes_falsenodeids"].ints.__setitem__(-1, 10**6),
    "an array too short": lambda of: of["nodes_featureids"].ints.pop(),
    "no roots": lambda of: of["tree_roots"].ClearField("ints"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_arrays_that_are_no_forest_are_refused(change: str) -> None:
    model = onnx.load_model_from_string(trained().files.trees)
    CHANGES[change]({attribute.name: attribute for attribute in model.graph.node[0].attribute})
    with pytest.raises(ValueError, match=r"."):
        WalkedTrees(model.SerializeToString())


@pytest.mark.parametrize("change", ["another operator", "two operators", "a function"])
def test_what_is_more_than_one_operator_is_refused(change: str) -> None:
    model = onnx.load_model_from_string(trained().files.trees)
    node = model.graph.node[0]
    if change == "another operator":
        node.op_type = "TreeEnsembleRegressor"
    elif change == "two operators":
        model.graph.node.append(node)
    else:
        model.functions.add().name = "TreeEnsemble"
    with pytest.raises(ValueError, match="must hold one tree operator"):
        WalkedTrees(model.SerializeToString())


@given(st.data())
def test_damaged_files_are_refused_or_are_whole_trees(data: st.DataObject) -> None:
    content = bytearray(trained().files.trees)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(400, len(content) - 1)))] = data.draw(
            st.integers(0, 255)
        )
    try:
        trees = WalkedTrees(bytes(content))
    except (ValueError, RecursionError):
        return
    assert 0 <= trees.scores([[0.0] * trees.columns])[0] <= 1


@pytest.mark.parametrize("content", [b"", b"\x00", b"\xff" * 40, b"\x3a\xff\xff\xff\x7f"])
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        WalkedTrees(content)
