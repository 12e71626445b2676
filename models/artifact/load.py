"""Loads a model version from its files, or refuses it.

`load_model` refuses every version that would not score as it did in training; `LoadedModel` then
scores in microseconds. Loads no pickle and imports neither scikit-learn nor pandas. Knows no
network and no MLflow. Called by the scorer's registry watcher and by training, which compares a
new model with the champion.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
import onnxruntime

from features.definitions import DEFINITION_DIGEST
from features.engine.rows import MatrixForm, ReadRows, matrix_form
from models.artifact.files import ModelFiles
from models.artifact.golden import GoldenRows
from models.artifact.signature import Signature
from models.artifact.trees import Trees
from models.encoding.row import encode_row
from models.encoding.vector import (
    COLUMNS,
    MISSING_CODE,
    UNKNOWN_CODE,
    VectorSpec,
    vector_digest,
)
from models.errors import GoldenRowsMismatchError, SignatureMismatchError
from models.model import ReadRowsModel, ReadScores, Scores
from schemas.decision import ModelRef
from schemas.feature_row import FeatureRow


class LoadedModel:
    """Compiled trees that score feature rows; implements `models.model.Model`.

    Immutable and safe to use from several threads.

    Attributes:
        trees: the scorer of vectors.
        spec: the specification of the vectors.
    """

    definition_digest: str | None = DEFINITION_DIGEST

    def __init__(self, *, trees: Trees, spec: VectorSpec, ref: ModelRef) -> None:
        """Take parts that `load_model` has checked."""
        self.trees = trees
        self.spec = spec
        self.ref = ref
        self.batch_columns = spec.batch_columns
        self._batch_at = [spec.columns.index(column) for column in spec.batch_columns]

    @cached_property
    def _form(self) -> MatrixForm:
        # Only of models of transactions: rows of the feature log have no other columns.
        spec = self.spec
        return matrix_form(
            spec.columns,
            spec.categories,
            empty=spec.batch_columns,
            missing_code=MISSING_CODE,
            unknown_code=UNKNOWN_CODE,
        )

    @property
    def reader(self) -> ReadRowsModel:
        """This model: it needs no decoded rows."""
        return self

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        """Encode and score a batch in one call."""
        spec = self.spec
        vectors = [encode_row(spec, row.transaction, row.features) for row in rows]
        return Scores(self.trees.scores(vectors).tolist(), vectors)

    def score_read(
        self, rows: ReadRows, at: Sequence[int], *, batch: Sequence[Sequence[float]] | None
    ) -> ReadScores:
        """Score rows that the engine has read; see `models.model.ReadRowsModel`."""
        content = rows.matrix(self._form, at)
        vectors = np.frombuffer(content, dtype="<f8").reshape(len(at), self.trees.columns)
        if batch is not None:
            vectors = vectors.copy()
            vectors[:, self._batch_at] = batch
            content = vectors.tobytes()
        size = 8 * self.trees.columns
        return ReadScores(
            self.trees.scores(vectors).tolist(),
            [
                vector_digest(content[start : start + size])
                for start in range(0, len(content), size)
            ],
        )


def load_model(
    files: ModelFiles,
    *,
    name: str,
    version: str,
    trees_digest: str,
    columns: Collection[str] | None = COLUMNS,
) -> LoadedModel:
    """Load a version from its files, or refuse it.

    Args:
        files: as they were fetched.
        name: of the registered model.
        version: its number.
        trees_digest: the digest of the trees on record in the registry.
        columns: those that the caller can fill; None: any.

    Raises:
        SignatureMismatchError: a file cannot be read, or the files do not belong together.
        DefinitionMismatchError: trained on other feature definitions.
        GoldenRowsMismatchError: a golden row scores differently than when it was registered.
    """
    of = f"model {name} version {version}"
    signature = Signature.read(files.signature, of=of)
    signature.check_definitions()
    digest = files.trees_digest
    if digest != trees_digest:
        raise SignatureMismatchError(
            f"{of}: trees.onnx has digest {digest}, the registry says {trees_digest!r:.80}; "
            "the file was changed after it was registered"
        )
    spec = signature.vector_spec(columns=columns)
    trees = _read_trees(files.trees, of=of)
    if trees.columns != len(spec.columns):
        raise SignatureMismatchError(
            f"{of}: the trees take {trees.columns} columns, the signature names {len(spec.columns)}"
        )
    golden = GoldenRows.from_json(files.golden, columns=trees.columns, of=of)
    if difference := golden.difference(trees.scores(golden.rows)):
        raise GoldenRowsMismatchError(
            f"{of}: {difference}; the trees do not score as they did in training; "
            f"ONNX Runtime {onnxruntime.__version__}"
        )
    return LoadedModel(
        trees=trees, spec=spec, ref=ModelRef(name=name, version=version, digest=digest)
    )


def _read_trees(content: bytes, *, of: str) -> Trees:
    try:
        return Trees(content)
    except ValueError as error:
        raise SignatureMismatchError(
            f"{of}: trees.onnx {error}; ONNX Runtime {onnxruntime.__version__}"
        ) from error
