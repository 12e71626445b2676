"""Scores vectors by walking the trees in Python: no ONNX Runtime, no NumPy, a quick start.

For `scoring.embedded`. The scores equal those of `models.artifact.trees` to the last bit, because
both compare 32-bit values and add the trees in one order; a test compares them. Costs some 100 us a
vector, so the services use ONNX Runtime.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from models.artifact.aggregate import SUM, probability
from models.artifact.onnx_file import TreeArrays, read_tree_arrays

_Node = tuple[int, float, bool, "_Node | float", "_Node | float"]
"""Column, threshold, whether a missing value takes the first branch, and both branches."""


class WalkedTrees:
    """Trees that score vectors. Immutable and safe to use from several threads.

    Attributes:
        columns: how many numbers a vector has.

    Raises:
        ValueError: the bytes are not trees, or more than trees.
    """

    def __init__(self, content: bytes) -> None:
        """Read the content of ``weir/trees.onnx``."""
        arrays = read_tree_arrays(content)
        self.columns = arrays.columns
        nodes = _linked(arrays)
        self._roots = [nodes[root] for root in arrays.roots]
        self._adds_up = arrays.aggregate == SUM

    def scores(self, vectors: Sequence[Sequence[float]]) -> list[float]:
        """Give the probability of fraud of each vector, as `models.artifact.trees.Trees` does.

        Raises:
            ValueError: a vector has another number of columns.
        """
        return [self._score(vector) for vector in vectors]

    def _score(self, vector: Sequence[float]) -> float:
        if len(vector) != self.columns:
            raise ValueError(f"a vector has {len(vector)} columns, must have {self.columns}")
        # scikit-learn compares 32-bit floats.
        values = array("f", vector).tolist()
        total = 0.0
        for root in self._roots:
            node: _Node | float = root
            while type(node) is tuple:
                column, split, missing_to_first, first, second = node
                value = values[column]
                # Only a missing value differs from itself.
                is_first = value <= split or (missing_to_first and value != value)  # noqa: PLR0124
                node = first if is_first else second
            total += node  # type: ignore[operator]
        if self._adds_up:
            return probability(total)
        # Rounding may leave a mean of probabilities at 1 + 2e-16.
        return min(max(total / len(self._roots), 0.0), 1.0)


def _linked(arrays: TreeArrays) -> list[_Node]:
    """Link the nodes, the last one first: a node points only at nodes after it."""
    leaves = arrays.leaves
    nodes: list[_Node] = [None] * len(arrays.splits)  # type: ignore[list-item]
    for at in range(len(nodes) - 1, -1, -1):
        first, second = arrays.first[at], arrays.second[at]
        nodes[at] = (
            arrays.features[at],
            arrays.splits[at],
            bool(arrays.missing_to_first[at]),
            leaves[first] if arrays.first_is_leaf[at] else nodes[first],
            leaves[second] if arrays.second_is_leaf[at] else nodes[second],
        )
    return nodes
