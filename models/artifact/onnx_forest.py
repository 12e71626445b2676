"""Converts a fitted forest of scikit-learn into an ONNX model of one operator, `TreeEnsemble`.

The operator takes the concatenated arrays of all trees, with inner nodes and leaves numbered
separately. Own code, because no converter reads the forests of this version of scikit-learn, and
the usual ones write 32-bit floats, which change scores by 3e-8. Pure. Called by
`models.artifact.compile_forest`, which proves the result on golden rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.ensemble import RandomForestClassifier

INPUT: Final = "vectors"
"""Shape (rows, columns), doubles that hold 32-bit floats; NaN where there is no value."""
OUTPUT: Final = "scores"
"""Shape (rows, 1): the probability of class 1."""
_OPSET: Final = 18
_ML_OPSET: Final = 5
"""The first version that has `TreeEnsemble`, which supports doubles."""
_IR_VERSION: Final = 10
_AVERAGE: Final = 0
_LESS_OR_EQUAL: Final = b"\x00"


class _Nodes(NamedTuple):
    """The nodes of one or more trees; inner nodes and leaves are numbered separately.

    Attributes:
        features: for each inner node, the column it compares.
        splits: its threshold; a value less than or equal to it takes the first branch.
        missing_to_first: 1 if a missing value takes the first branch, too.
        first: number of the inner node or leaf at the end of the first branch.
        second: the same for the second branch.
        first_is_leaf: 1 if the first branch ends at a leaf.
        second_is_leaf: the same for the second branch.
        leaves: for each leaf, the probability of class 1.
    """

    features: NDArray[Any]
    splits: NDArray[Any]
    missing_to_first: NDArray[Any]
    first: NDArray[Any]
    second: NDArray[Any]
    first_is_leaf: NDArray[Any]
    second_is_leaf: NDArray[Any]
    leaves: NDArray[Any]


def to_onnx(forest: RandomForestClassifier) -> bytes:
    """Give the serialised ONNX model of a forest; equal forests give equal bytes.

    Args:
        forest: fitted on the classes 0 and 1.

    Raises:
        ValueError: the forest has other classes.
    """
    if list(forest.classes_) != [0, 1]:
        raise ValueError(f"the forest has the classes {list(forest.classes_)}, must have [0, 1]")
    trees, roots = [], []
    inner = leaves = 0
    for estimator in forest.estimators_:
        tree = _nodes_of(estimator.tree_, inner_before=inner, leaves_before=leaves)
        trees.append(tree)
        roots.append(inner)
        inner += len(tree.splits)
        leaves += len(tree.leaves)
    nodes = _Nodes(*(np.concatenate(parts) for parts in zip(*trees, strict=True)))
    vectors = _described(INPUT, columns=forest.n_features_in_)
    graph = helper.make_graph(
        [_operator(nodes, roots)], "forest", [vectors], [_described(OUTPUT, columns=1)]
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _nodes_of(tree: Any, *, inner_before: int, leaves_before: int) -> _Nodes:
    """Give the nodes of a tree of scikit-learn, whose inner nodes and leaves share a numbering.

    Args:
        tree: the ``tree_`` of an estimator.
        inner_before: number of inner nodes of the trees before it.
        leaves_before: number of leaves of the trees before it.
    """
    is_leaf = tree.children_left < 0
    inner = np.flatnonzero(~is_leaf)
    probabilities = tree.value[is_leaf, 0, 1]
    if not len(inner):
        return _single_leaf(probabilities, number=leaves_before)
    number = np.where(
        is_leaf, leaves_before + np.cumsum(is_leaf) - 1, inner_before + np.cumsum(~is_leaf) - 1
    )
    first, second = tree.children_left[inner], tree.children_right[inner]
    return _Nodes(
        tree.feature[inner],
        tree.threshold[inner],
        tree.missing_go_to_left[inner],
        number[first],
        number[second],
        is_leaf[first],
        is_leaf[second],
        probabilities,
    )


def _single_leaf(probabilities: NDArray[Any], *, number: int) -> _Nodes:
    """Give the nodes of a tree without splits: a root whose two branches end at its only leaf."""
    zero, one, leaf = np.zeros(1, dtype=int), np.ones(1, dtype=int), np.array([number])
    return _Nodes(zero, np.zeros(1), zero, leaf, leaf, one, one, probabilities)


def _operator(nodes: _Nodes, roots: Sequence[int]) -> Any:
    def integers(values: NDArray[Any]) -> list[int]:
        numbers: list[int] = values.astype(int).tolist()
        return numbers

    return helper.make_node(
        "TreeEnsemble",
        [INPUT],
        [OUTPUT],
        domain="ai.onnx.ml",
        aggregate_function=_AVERAGE,
        n_targets=1,
        tree_roots=list(roots),
        nodes_featureids=integers(nodes.features),
        nodes_splits=_doubles("splits", nodes.splits),
        nodes_modes=helper.make_tensor(
            "modes",
            TensorProto.UINT8,
            [len(nodes.splits)],
            _LESS_OR_EQUAL * len(nodes.splits),
            raw=True,
        ),
        nodes_missing_value_tracks_true=integers(nodes.missing_to_first),
        nodes_truenodeids=integers(nodes.first),
        nodes_falsenodeids=integers(nodes.second),
        nodes_trueleafs=integers(nodes.first_is_leaf),
        nodes_falseleafs=integers(nodes.second_is_leaf),
        leaf_targetids=[0] * len(nodes.leaves),
        leaf_weights=_doubles("probabilities", nodes.leaves),
    )


def _doubles(name: str, values: NDArray[Any]) -> Any:
    raw = values.astype("<f8").tobytes()
    return helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], raw, raw=True)


def _described(name: str, *, columns: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, columns])
