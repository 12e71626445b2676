"""Compiles fitted trees into the files of a model version.

The trees, of a random forest or of gradient boosting, become one ONNX operator, and golden rows
prove that they score as the estimator does. Imports scikit-learn, so only training uses it;
`models.artifact.load` reads the files. Pure: bytes out, no file.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.artifact.files import ModelFiles
from models.artifact.golden import GoldenRows
from models.artifact.lightgbm_trees import LightGbmTrees
from models.artifact.onnx_file import read_tree_arrays
from models.artifact.onnx_forest import TreeEstimator, to_onnx
from models.artifact.signature import write_signature
from models.artifact.trees import Trees
from models.encoding.vector import VectorSpec
from models.errors import CompiledModelMismatchError

GOLDEN_SAMPLED: Final = 100
"""How many golden rows are rows of the table; as many again have one value on a split."""

Matrix = NDArray[np.float64]


def compile_forest(
    estimator: TreeEstimator, spec: VectorSpec, vectors: Matrix, *, seed: int
) -> ModelFiles:
    """Compile fitted trees and prove them on golden rows.

    Args:
        estimator: fitted on vectors of the specification.
        spec: of the vectors.
        vectors: rows to choose golden rows from, at least one.
        seed: of the choice.

    Raises:
        CompiledModelMismatchError: a compiled score differs from the estimator's.
    """
    library = "lightgbm" if isinstance(estimator, LightGbmTrees) else "scikit-learn"
    fitted_by = f"{library} {version(library)}"
    trees = to_onnx(estimator)
    rows = golden_rows(estimator, trees, vectors, seed=seed)
    golden = GoldenRows(rows, fitted_scores(estimator, rows))
    if difference := golden.difference(Trees(trees).scores(rows)):
        raise CompiledModelMismatchError(
            f"{difference}; the compiled trees do not score as the fitted ones do; "
            f"ONNX Runtime {onnxruntime.__version__}, {fitted_by}"
        )
    return ModelFiles(
        trees=trees,
        signature=write_signature(spec, fitted_by=fitted_by),
        golden=golden.to_json(),
    )


def fitted_scores(estimator: TreeEstimator, vectors: Matrix) -> Matrix:
    """Give the probabilities of fraud that the trees' library computes from 32-bit values.

    A random forest casts its input to 32 bits by itself, boosting does not; the compiled trees
    always do.
    """
    cast = vectors.astype(np.float32).astype(np.float64)
    # Several threads would wait for each other longer than they compute.
    with threadpool_limits(1, "openmp"):
        scores: Matrix = estimator.predict_proba(cast)[:, 1]
    return scores


def golden_rows(estimator: TreeEstimator, trees: bytes, vectors: Matrix, *, seed: int) -> Matrix:
    """Choose the rows that prove a compiled model: rows of the table, and rows at splits.

    Half are rows of the table, those with the highest and lowest scores among them. The other
    half are the same rows with one value set to a threshold of the trees, or to the next number
    above or below it: a wrong comparison or a wrong cast shows there.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(fitted_scores(estimator, vectors), kind="stable")
    ends = np.concatenate([order[: GOLDEN_SAMPLED // 4], order[-GOLDEN_SAMPLED // 4 :]])
    others = rng.integers(0, len(vectors), GOLDEN_SAMPLED // 2)
    sampled = vectors[np.concatenate([ends, others])]
    return np.vstack([sampled, _with_values_at_splits(trees, sampled, rng)])


def _with_values_at_splits(trees: bytes, rows: Matrix, rng: np.random.Generator) -> Matrix:
    arrays = read_tree_arrays(trees)
    splits = [
        (feature, threshold)
        for feature, threshold in zip(arrays.features, arrays.splits, strict=True)
        # A split of "value or no value" has an infinite threshold.
        if np.isfinite(threshold)
    ]
    changed = rows.copy()
    if splits:
        for at, choice in enumerate(rng.integers(0, len(splits), len(rows))):
            feature, threshold = splits[choice]
            edges = (threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf))
            changed[at, feature] = edges[at % len(edges)]
    return changed
