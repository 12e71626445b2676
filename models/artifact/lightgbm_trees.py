"""Trees that LightGBM has fitted, read from the text in which LightGBM saves them.

LightGBM holds thresholds and leaves in doubles, compares by ``<=``, adds up leaves in the order of
the trees and applies the logistic function of `models.artifact.aggregate`, so the compiled trees
give its scores to the last bit. Imports no LightGBM: only training needs that. Called by
`models.artifact.onnx_forest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.artifact.tree_nodes import Nodes, single_leaf

_IS_CATEGORICAL: Final = 1
_MISSING_TO_FIRST: Final = 2
_ZERO_IS_MISSING: Final = 4
_NAN_IS_MISSING: Final = 8
"""The bits of a node's ``decision_type``; without the last two, no value was missing."""
_ZERO: Final = float(np.float32(1e-35))
"""The largest value that LightGBM takes for 0."""


class LightGbmTrees:
    """Fitted trees, with what compiling needs of an estimator of scikit-learn."""

    classes_ = (0, 1)

    def __init__(self, booster: Any) -> None:
        """Take a `lightgbm.Booster` of two classes, fitted without categorical columns."""
        self.booster = booster
        self.n_features_in_: int = booster.num_feature()

    def predict_proba(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the probabilities of both classes, as LightGBM computes them."""
        scores = np.asarray(self.booster.predict(vectors, num_threads=1))
        return np.column_stack([1 - scores, scores])

    def add(self, log_odds: float) -> None:
        """Add to the log-odds of every row."""
        for leaf in range(len(self.nodes()[0].leaves)):
            self.booster.set_leaf_output(0, leaf, self.booster.get_leaf_output(0, leaf) + log_odds)

    def gains(self) -> NDArray[np.float64]:
        """Give the share of each column in the decrease of the loss."""
        found = np.asarray(self.booster.feature_importance("gain"), dtype=np.float64)
        total = found.sum()
        return found / total if total else found

    def nodes(self) -> list[Nodes]:
        """Give the nodes of each tree.

        Raises:
            ValueError: a tree has a split that the operator does not have.
        """
        trees = self.booster.model_to_string().split("\nTree=")[1:]
        return [_nodes(_fields(tree)) for tree in trees]


def _fields(tree: str) -> Mapping[str, str]:
    """Give the lines ``name=values`` of a tree, which an empty line ends."""
    lines = tree.split("\n\n", maxsplit=1)[0].splitlines()
    return dict(line.split("=", maxsplit=1) for line in lines if "=" in line)


def _nodes(fields: Mapping[str, str]) -> Nodes:
    leaves = _numbers(fields["leaf_value"], float)
    if len(leaves) == 1:
        return single_leaf(leaves)
    decisions = _numbers(fields["decision_type"], int)
    if (decisions & (_IS_CATEGORICAL | _ZERO_IS_MISSING)).any():
        raise ValueError("the trees have splits by category, or take 0 for a missing value")
    splits = _thresholds(_numbers(fields["threshold"], float))
    first, second = (_numbers(fields[name], int) for name in ("left_child", "right_child"))
    # LightGBM numbers leaves -1, -2, ...
    return Nodes(
        _numbers(fields["split_feature"], int),
        splits,
        # A value that was never missing while fitting counts as 0 when it is.
        np.where(decisions & _NAN_IS_MISSING, (decisions & _MISSING_TO_FIRST) > 0, splits >= 0),
        np.where(first < 0, ~first, first),
        np.where(second < 0, ~second, second),
        first < 0,
        second < 0,
        leaves,
    )


def _thresholds(splits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give thresholds that divide all 32-bit values as LightGBM's do.

    LightGBM takes a value within `_ZERO` of 0 for 0, and writes an infinite threshold, by which
    only missing values take another branch, as 1e300.
    """
    splits = np.where(splits > np.finfo(np.float32).max, np.inf, splits)
    splits = np.where((splits >= 0) & (splits < _ZERO), _ZERO, splits)
    return np.where((splits < 0) & (splits >= -_ZERO), np.nextafter(-_ZERO, -np.inf), splits)


def _numbers(text: str, kind: type[int] | type[float]) -> NDArray[Any]:
    return np.array([kind(each) for each in text.split()])
