"""Scores vectors with compiled trees, ``weir/trees.onnx``, in ONNX Runtime.

The one scorer of trees: the services, training and batch scoring all use it. Loads no pickle, and
refuses every file that holds more than one tree operator, because ONNX models can contain other
computations. `models.artifact.onnx_forest` writes such files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from models.artifact.aggregate import AVERAGE, SUM, probability

_OPERATOR: Final = ("ai.onnx.ml", "TreeEnsemble")


class Trees:
    """Trees that score vectors. Immutable and safe to use from several threads.

    Attributes:
        columns: how many numbers a vector has.

    Raises:
        ValueError: the bytes are not trees, or more than trees.
    """

    def __init__(self, content: bytes) -> None:
        """Read the content of ``weir/trees.onnx``."""
        # The exceptions of the parser and of the runtime have no other base class in common.
        try:
            self._adds_up = _check_operator(onnx.load_model_from_string(content))
            self._session = onnxruntime.InferenceSession(
                content, _one_thread(), providers=["CPUExecutionProvider"]
            )
            (vectors,) = self._session.get_inputs()
            if vectors.type != "tensor(double)":
                raise ValueError(f"takes a {vectors.type}, must take doubles")
            self._input = str(vectors.name)
            self.columns = int(vectors.shape[1])
        except Exception as error:
            raise ValueError(f"cannot be used: {error!s:.200}") from error

    def scores(
        self, vectors: NDArray[np.float64] | Sequence[Sequence[float]]
    ) -> NDArray[np.float64]:
        """Give the probability of fraud of each vector, as scikit-learn would.

        scikit-learn casts its input to 32-bit floats before it compares a value with a threshold;
        ONNX Runtime compares what it is given. So the same cast comes first: without it, 676 of
        3,000 values just above a threshold took the wrong branch, with it none.

        Args:
            vectors: shape (rows, columns), NaN where there is no value; may have no rows.

        Returns:
            Shape (rows,), from 0 to 1.
        """
        if not len(vectors):
            return np.zeros(0)
        matrix = np.ascontiguousarray(vectors, dtype=np.float32).astype(np.float64)
        (column,) = self._session.run(None, {self._input: matrix})
        if self._adds_up:
            return np.array([probability(margin) for margin in column[:, 0].tolist()])
        # Rounding may leave a mean of probabilities at 1 + 2e-16.
        scores: NDArray[np.float64] = np.clip(column[:, 0], 0.0, 1.0)
        return scores


def _check_operator(model: onnx.ModelProto) -> bool:
    """Refuse every model but one operator; a local function could hide behind its name.

    Returns:
        Whether the trees add up to log-odds; otherwise they average probabilities.
    """
    operators = [(node.domain, node.op_type) for node in model.graph.node]
    if operators != [_OPERATOR] or model.functions or model.graph.initializer:
        raise ValueError(f"holds {operators!s:.100} and maybe more, must hold {_OPERATOR} alone")
    found = {each.name: each for each in model.graph.node[0].attribute}
    aggregate = found["aggregate_function"].i
    if aggregate not in (AVERAGE, SUM) or "post_transform" in found:
        raise ValueError("must average probabilities or add up log-odds, without a transformation")
    return bool(aggregate == SUM)


def _one_thread() -> onnxruntime.SessionOptions:
    """Use one thread: it adds up the trees in one order, and small batches need no more."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return options
