"""The nodes of fitted trees, in the form that the ONNX operator `TreeEnsemble` takes.

Inner nodes and leaves are numbered separately, which those who fit trees do not do. Pure. Called
by those that read the trees of one library each, and by `models.artifact.onnx_forest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Nodes(NamedTuple):
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


def separated(
    is_leaf: NDArray[np.bool_],
    *,
    features: NDArray[Any],
    splits: NDArray[Any],
    missing_to_first: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    leaves: NDArray[Any],
) -> Nodes:
    """Number inner nodes and leaves separately; in scikit-learn they share a numbering."""
    inner = np.flatnonzero(~is_leaf)
    if not len(inner):
        return single_leaf(leaves)
    number = np.where(is_leaf, np.cumsum(is_leaf) - 1, np.cumsum(~is_leaf) - 1)
    first, second = first[inner], second[inner]
    return Nodes(
        features[inner],
        splits[inner],
        missing_to_first[inner],
        number[first],
        number[second],
        is_leaf[first],
        is_leaf[second],
        leaves,
    )


def single_leaf(leaves: NDArray[Any]) -> Nodes:
    """Give the nodes of a tree without splits: a root whose two branches end at its only leaf."""
    zero, one = np.zeros(1, dtype=int), np.ones(1, dtype=int)
    return Nodes(zero, np.zeros(1), zero, zero, zero, one, one, leaves)


def joined(trees: Sequence[Nodes]) -> tuple[Nodes, list[int]]:
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
    return Nodes(*(np.concatenate(parts) for parts in zip(*moved, strict=True))), roots
