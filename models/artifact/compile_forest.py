"""Compiles a fitted forest of scikit-learn into the files of a model version.

The trees become one ONNX operator, and golden rows prove that they score as the forest does.
Imports scikit-learn, so only training uses it; `models.artifact.load` reads the files. Pure:
bytes out, no file.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnxruntime
import sklearn
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from models.artifact.files import ModelFiles
from models.artifact.golden import GoldenRows
from models.artifact.onnx_forest import to_onnx
from models.artifact.signature import write_signature
from models.artifact.trees import Trees
from models.encoding.vector import VectorSpec
from models.errors import CompiledModelMismatchError

GOLDEN_SAMPLED: Final = 100
"""How many golden rows are rows of the table; as many again have one value on a split."""

Matrix = NDArray[np.float64]


def compile_forest(
    forest: RandomForestClassifier, spec: VectorSpec, vectors: Matrix, *, seed: int
) -> ModelFiles:
    """Compile a forest and prove it on golden rows.

    Args:
        forest: fitted on vectors of the specification.
        spec: of the vectors.
        vectors: rows to choose golden rows from, at least one.
        seed: of the choice.

    Raises:
        CompiledModelMismatchError: a compiled score differs from the forest's.
    """
    trees = to_onnx(forest)
    rows = golden_rows(forest, vectors, seed=seed)
    golden = GoldenRows(rows, forest.predict_proba(rows)[:, 1])
    if difference := golden.difference(Trees(trees).scores(rows)):
        raise CompiledModelMismatchError(
            f"{difference}; the compiled trees do not score as the forest does; "
            f"ONNX Runtime {onnxruntime.__version__}, scikit-learn {sklearn.__version__}"
        )
    return ModelFiles(
        trees=trees,
        signature=write_signature(spec, sklearn_version=sklearn.__version__),
        golden=golden.to_json(),
    )


def golden_rows(forest: RandomForestClassifier, vectors: Matrix, *, seed: int) -> Matrix:
    """Choose the rows that prove a compiled model: rows of the table, and rows at splits.

    Half are rows of the table, those with the highest and lowest scores among them. The other
    half are the same rows with one value set to a threshold of the forest, or to the next number
    above or below it: a wrong comparison or a wrong cast shows there.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(forest.predict_proba(vectors)[:, 1], kind="stable")
    ends = np.concatenate([order[: GOLDEN_SAMPLED // 4], order[-GOLDEN_SAMPLED // 4 :]])
    others = rng.integers(0, len(vectors), GOLDEN_SAMPLED // 2)
    sampled = vectors[np.concatenate([ends, others])]
    return np.vstack([sampled, _with_values_at_splits(forest, sampled, rng)])


def _with_values_at_splits(
    forest: RandomForestClassifier, rows: Matrix, rng: np.random.Generator
) -> Matrix:
    splits = [
        (feature, threshold)
        for tree in forest.estimators_
        for feature, threshold in zip(tree.tree_.feature, tree.tree_.threshold, strict=True)
        # A leaf has no feature; a split of "value or no value" has an infinite threshold.
        if feature >= 0 and np.isfinite(threshold)
    ]
    changed = rows.copy()
    if splits:
        for at, choice in enumerate(rng.integers(0, len(splits), len(rows))):
            feature, threshold = splits[choice]
            edges = (threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf))
            changed[at, feature] = edges[at % len(edges)]
    return changed
