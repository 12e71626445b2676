"""Converts fitted trees of scikit-learn into an ONNX model of one operator, `TreeEnsemble`.

The trees of a random forest are averaged, those of gradient boosting are added up to log-odds; the
operator says which (`models.artifact.aggregate`). It takes the concatenated arrays of all trees,
with inner nodes and leaves numbered separately. Own code, because no converter reads the trees of
this version of scikit-learn, and the usual ones write 32-bit floats, which change scores by 3e-8.
Pure. Called by `models.artifact.compile_forest`, which proves the result on golden rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from models.artifact.aggregate import AVERAGE, SUM

TreeEstimator: TypeAlias = RandomForestClassifier | HistGradientBoostingClassifier
"""The estimators that have a compiled form."""

INPUT: Final = "vectors"
"""Shape (rows, columns), doubles that hold 32-bit floats; NaN where there is no value."""
OUTPUT: Final = "scores"
"""Shape (rows, 1): the probability of class 1, or its log-odds."""
_OPSET: Final = 18
_ML_OPSET: Final = 5
"""The first version that has `TreeEnsemble`, which supports doubles."""
_IR_VERSION: Final = 10
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
        leaves: for each leaf, the probability of class 1, or what it adds to the log-odds.
    """

    features: NDArray[Any]
    splits: NDArray[Any]
    missing_to_first: NDArray[Any]
    first: NDArray[Any]
    second: NDArray[Any]
    first_is_leaf: NDArray[Any]
    second_is_leaf: NDArray[Any]
    leaves: NDArray[Any]


def to_onnx(estimator: TreeEstimator) -> bytes:
    """Give the serialised ONNX model of fitted trees; equal trees give equal bytes.

    Args:
        estimator: fitted on the classes 0 and 1, without categorical features.

    Raises:
        ValueError: the estimator has other classes.
    """
    if list(estimator.classes_) != [0, 1]:
        raise ValueError(
            f"the estimator has the classes {list(estimator.classes_)}, must have [0, 1]"
        )
    if isinstance(estimator, RandomForestClassifier):
        trees = [_forest_tree(each.tree_) for each in estimator.estimators_]
        aggregate = AVERAGE
    else:
        # The first tree is the sum that the others add to.
        # scikit-learn gives its boosted trees under no public name; golden rows prove the result.
        baseline = np.asarray(estimator._baseline_prediction, np.float64)  # noqa: SLF001
        trees = [_single_leaf(baseline.reshape(1))]
        trees += [_boosted_tree(each.nodes) for (each,) in estimator._predictors]  # noqa: SLF001
        aggregate = SUM
    nodes, roots = _joined(trees)
    vectors = _described(INPUT, columns=estimator.n_features_in_)
    graph = helper.make_graph(
        [_operator(nodes, roots, aggregate)],
        "forest",
        [vectors],
        [_described(OUTPUT, columns=1)],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _forest_tree(tree: Any) -> _Nodes:
    """Give the nodes of a tree of a random forest, the ``tree_`` of an estimator."""
    is_leaf = tree.children_left < 0
    return _separated(
        is_leaf,
        features=tree.feature,
        splits=tree.threshold,
        missing_to_first=tree.missing_go_to_left,
        first=tree.children_left,
        second=tree.children_right,
        leaves=tree.value[is_leaf, 0, 1],
    )


def _boosted_tree(nodes: NDArray[Any]) -> _Nodes:
    """Give the nodes of a tree of gradient boosting, the ``nodes`` of a predictor."""
    is_leaf = nodes["is_leaf"].astype(bool)
    return _separated(
        is_leaf,
        features=nodes["feature_idx"],
        splits=nodes["num_threshold"],
        missing_to_first=nodes["missing_go_to_left"],
        first=nodes["left"].astype(np.int64),
        second=nodes["right"].astype(np.int64),
        leaves=nodes["value"][is_leaf],
    )


def _separated(
    is_leaf: NDArray[np.bool_],
    *,
    features: NDArray[Any],
    splits: NDArray[Any],
    missing_to_first: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    leaves: NDArray[Any],
) -> _Nodes:
    """Number inner nodes and leaves separately; in scikit-learn they share a numbering."""
    inner = np.flatnonzero(~is_leaf)
    if not len(inner):
        return _single_leaf(leaves)
    number = np.where(is_leaf, np.cumsum(is_leaf) - 1, np.cumsum(~is_leaf) - 1)
    first, second = first[inner], second[inner]
    return _Nodes(
        features[inner],
        splits[inner],
        missing_to_first[inner],
        number[first],
        number[second],
        is_leaf[first],
        is_leaf[second],
        leaves,
    )


def _single_leaf(leaves: NDArray[Any]) -> _Nodes:
    """Give the nodes of a tree without splits: a root whose two branches end at its only leaf."""
    zero, one = np.zeros(1, dtype=int), np.ones(1, dtype=int)
    return _Nodes(zero, np.zeros(1), zero, zero, zero, one, one, leaves)


def _joined(trees: Sequence[_Nodes]) -> tuple[_Nodes, list[int]]:
    """Join trees into one list of nodes; give the number of the root of each, too."""
    moved, roots = [], []
    inner = leaves = 0
    for tree in trees:
        roots.append(inner)
        moved.append(
            tree._replace(
                first=tree.first + np.where(tree.first_is_leaf, leaves, inner),
                second=tree.second + np.where(tree.second_is_leaf, leaves, inner),
            )
        )
        inner += len(tree.splits)
        leaves += len(tree.leaves)
    return _Nodes(*(np.concatenate(parts) for parts in zip(*moved, strict=True))), roots


def _operator(nodes: _Nodes, roots: Sequence[int], aggregate: int) -> Any:
    def integers(values: NDArray[Any]) -> list[int]:
        numbers: list[int] = values.astype(int).tolist()
        return numbers

    return helper.make_node(
        "TreeEnsemble",
        [INPUT],
        [OUTPUT],
        domain="ai.onnx.ml",
        aggregate_function=aggregate,
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
        leaf_weights=_doubles("leaves", nodes.leaves),
    )


def _doubles(name: str, values: NDArray[Any]) -> Any:
    raw = values.astype("<f8").tobytes()
    return helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], raw, raw=True)


def _described(name: str, *, columns: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, columns])
