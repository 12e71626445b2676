"""The compiled form of a forest: its trees for ONNX Runtime, and golden rows that prove them.

Writes what `models.loaded` reads; neither imports the other, the golden rows keep them equal.
Pure: bytes in, bytes out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import onnxruntime
import sklearn
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from features.definitions import DEFINITION_DIGEST
from models.encoding.vector import VectorSpec
from models.errors import CompiledModelMismatchError
from models.onnx_forest import INPUT, to_onnx

TOLERANCE = 1e-6
"""Largest difference between a compiled score and scikit-learn's. Measured: 0."""
GOLDEN_SAMPLED = 100
"""Golden rows that are rows of the table, and as many again with a value on a split."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """The three files of ``weir/`` and the digest of the trees."""

    trees: bytes
    signature: bytes
    golden: bytes
    trees_digest: str


def compile_forest(
    forest: RandomForestClassifier, spec: VectorSpec, vectors: Matrix, *, seed: int
) -> CompiledModel:
    """Compile a forest and prove it on golden rows.

    Args:
        forest: fitted on vectors of the specification.
        spec: what the vectors are.
        vectors: rows to choose golden rows from, at least one.
        seed: of the choice.

    Raises:
        CompiledModelMismatchError: a golden row scores otherwise once compiled.
    """
    trees = to_onnx(forest)
    golden = golden_rows(forest, vectors, seed=seed)
    scores = forest.predict_proba(golden)[:, 1]
    check_equal(predict_compiled(trees, golden), scores)
    return CompiledModel(
        trees=trees,
        signature=_signature(spec),
        golden=_golden_json(golden, scores),
        trees_digest=hashlib.sha256(trees).hexdigest()[:16],
    )


def predict_compiled(trees: bytes, vectors: Matrix) -> NDArray[np.float64]:
    """Score with the serialised trees, as the scorer does: through 32-bit floats.

    scikit-learn casts to 32 bits before it compares with a threshold, ONNX Runtime does not.
    """
    options = onnxruntime.SessionOptions()
    # One thread, so that trees are added up in one order.
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(trees, options, providers=["CPUExecutionProvider"])
    cast = np.ascontiguousarray(vectors.astype(np.float32).astype(np.float64))
    scores: NDArray[np.float64] = session.run(None, {INPUT: cast})[0]
    return scores[:, 0]


def check_equal(compiled: NDArray[np.float64], wanted: NDArray[np.float64]) -> None:
    """Refuse compiled scores that differ by more than `TOLERANCE`, NaN included.

    Raises:
        CompiledModelMismatchError: it says where and by how much.
    """
    wrong = ~(np.abs(compiled - wanted) <= TOLERANCE)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise CompiledModelMismatchError(
            f"{int(wrong.sum())} of {len(wanted)} golden rows score otherwise once compiled: "
            f"row {at} {compiled[at]!r} instead of {wanted[at]!r}, limit {TOLERANCE}; "
            f"ONNX Runtime {onnxruntime.__version__}, scikit-learn {sklearn.__version__}"
        )


def golden_rows(forest: RandomForestClassifier, vectors: Matrix, *, seed: int) -> Matrix:
    """Choose the rows that prove a compiled model: real ones, and ones on the edge of a split.

    Half are rows of the table, the highest and lowest scores among them. The other half are
    such rows with one value put exactly on a threshold of the forest, or just above or below
    it: that is where a wrong comparison or a wrong cast shows.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(forest.predict_proba(vectors)[:, 1], kind="stable")
    ends = np.concatenate([order[: GOLDEN_SAMPLED // 4], order[-GOLDEN_SAMPLED // 4 :]])
    others = rng.integers(0, len(vectors), GOLDEN_SAMPLED // 2)
    sampled = vectors[np.concatenate([ends, others])]
    return np.vstack([sampled, _on_thresholds(forest, sampled, rng)])


def _on_thresholds(
    forest: RandomForestClassifier, rows: Matrix, rng: np.random.Generator
) -> Matrix:
    splits = [
        (feature, threshold)
        for tree in forest.estimators_
        for feature, threshold in zip(tree.tree_.feature, tree.tree_.threshold, strict=True)
        # Leaves have no feature; a split of "value or no value" has an infinite threshold.
        if feature >= 0 and np.isfinite(threshold)
    ]
    edged = rows.copy()
    if splits:
        for at, choice in enumerate(rng.integers(0, len(splits), len(rows))):
            feature, threshold = splits[choice]
            edges = (threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf))
            edged[at, feature] = edges[at % len(edges)]
    return edged


def _signature(spec: VectorSpec) -> bytes:
    signature = {
        "vector": json.loads(spec.to_json()),
        "vector_digest": spec.digest,
        "definition_digest": DEFINITION_DIGEST,
        "onnxruntime_version": onnxruntime.__version__,
        "sklearn_version": sklearn.__version__,
    }
    return json.dumps(signature, indent=1).encode()


def _golden_json(rows: Matrix, scores: NDArray[np.float64]) -> bytes:
    # JSON has no NaN: null stands for "no value". Python writes floats so that they read back.
    cells = [[None if np.isnan(value) else value for value in row] for row in rows.tolist()]
    return json.dumps({"rows": cells, "scores": scores.tolist()}).encode()
