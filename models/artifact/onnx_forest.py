"""Converts fitted trees into an ONNX model of one operator, `TreeEnsemble`.

The trees of a random forest are averaged, those of gradient boosting are added up to log-odds; the
operator says which (`models.artifact.aggregate`). It takes the concatenated arrays of all trees,
with inner nodes and leaves numbered separately. Own code, because no converter reads the trees of
this version of scikit-learn, and the usual ones write 32-bit floats, which change scores by 3e-8.
Pure. Called by `models.artifact.compile_forest`, which proves the result on golden rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from models.artifact.aggregate import AVERAGE, SUM
from models.artifact.lightgbm_trees import LightGbmTrees
from models.artifact.tree_nodes import Nodes, joined, separated, single_leaf

TreeEstimator: TypeAlias = RandomForestClassifier | HistGradientBoostingClassifier | LightGbmTrees
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
    trees, aggregate = _trees(estimator)
    nodes, roots = joined(trees)
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


def _trees(estimator: TreeEstimator) -> tuple[list[Nodes], int]:
    if isinstance(estimator, RandomForestClassifier):
        return [_forest_tree(each.tree_) for each in estimator.estimators_], AVERAGE
    if isinstance(estimator, LightGbmTrees):
        return estimator.nodes(), SUM
    # The first tree is the sum that the others add to.
    # scikit-learn gives its boosted trees under no public name; golden rows prove the result.
    baseline = np.asarray(estimator._baseline_prediction, np.float64)  # noqa: SLF001
    boosted = [_boosted_tree(each.nodes) for (each,) in estimator._predictors]  # noqa: SLF001
    return [single_leaf(baseline.reshape(1)), *boosted], SUM


def _forest_tree(tree: Any) -> Nodes:
    """Give the nodes of a tree of a random forest, the ``tree_`` of an estimator."""
    is_leaf = tree.children_left < 0
    return separated(
        is_leaf,
        features=tree.feature,
        splits=tree.threshold,
        missing_to_first=tree.missing_go_to_left,
        first=tree.children_left,
        second=tree.children_right,
        leaves=tree.value[is_leaf, 0, 1],
    )


def _boosted_tree(nodes: NDArray[Any]) -> Nodes:
    """Give the nodes of a tree of gradient boosting, the ``nodes`` of a predictor."""
    is_leaf = nodes["is_leaf"].astype(bool)
    return separated(
        is_leaf,
        features=nodes["feature_idx"],
        splits=nodes["num_threshold"],
        missing_to_first=nodes["missing_go_to_left"],
        first=nodes["left"].astype(np.int64),
        second=nodes["right"].astype(np.int64),
        leaves=nodes["value"][is_leaf],
    )


def _operator(nodes: Nodes, roots: Sequence[int], aggregate: int) -> Any:
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
