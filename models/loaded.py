"""A loaded model: compiled trees, signature, golden rows. Loads no pickle, runs no foreign code.

`load_model` makes one from the bytes of the three files that training registers and refuses
whatever would not score as it did there; `LoadedModel` then scores in microseconds. Called by
`registry`; training has its own writer of the same files. Knows no network and no MLflow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from features.definitions import DEFINITION_DIGEST
from models.encoding.vector import VectorSpec
from models.errors import DefinitionMismatchError, GoldenRowsMismatchError, SignatureMismatchError
from models.model import Scores
from schemas.decision import ModelRef
from schemas.feature_row import FeatureRow

GOLDEN_TOLERANCE = 1e-6
"""Largest difference of a golden row's score. Measured: 0; more means other trees."""
_OPERATOR = ("ai.onnx.ml", "TreeEnsemble")
"""All that a file of trees may hold: ONNX can say much more than trees."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one registered version, as bytes.

    Attributes:
        trees: ``weir/trees.onnx``, one operator of ONNX.
        signature: ``weir/signature.json``: the vector's specification, the definition digest.
        golden: ``weir/golden.json``: rows and the scores scikit-learn gave them.
    """

    trees: bytes
    signature: bytes
    golden: bytes


class CompiledTrees:
    """Trees that score vectors. Immutable and safe to use from several threads.

    Attributes:
        columns: how many numbers a vector has.

    Raises:
        ValueError: the bytes are no trees, or more than trees.
    """

    def __init__(self, data: bytes) -> None:
        """Read what training wrote."""
        # What the parser and the runtime raise has no other base in common.
        try:
            _check_operator(onnx.load_model_from_string(data))
            self._session = onnxruntime.InferenceSession(
                data, _one_thread(), providers=["CPUExecutionProvider"]
            )
            (vectors,) = self._session.get_inputs()
            if vectors.type != "tensor(double)":
                raise ValueError(f"takes a {vectors.type}, wanted are doubles")
            self._input = str(vectors.name)
            self.columns = int(vectors.shape[1])
        except Exception as error:
            raise ValueError(f"cannot be used: {error!s:.200}") from error

    def scores(self, vectors: Sequence[Sequence[float]]) -> list[float]:
        """Give the probability of class 1 of each vector, as scikit-learn would.

        scikit-learn casts its input to 32-bit floats before it compares it with a threshold, and
        these trees compare what they are given; so the same cast comes first. Without it a value
        just above a threshold goes another way: 676 of 3,000 such rows differed, with it none.
        """
        matrix: NDArray[np.float64] = np.asarray(vectors, dtype=np.float32).astype(np.float64)
        (column,) = self._session.run(None, {self._input: matrix})
        # Rounding may leave a mean of shares at 1 + 2e-16.
        scores: list[float] = np.clip(column[:, 0], 0.0, 1.0).tolist()
        return scores


def _check_operator(model: onnx.ModelProto) -> None:
    """Refuse a model of anything else than one operator; a function could stand for its name."""
    operators = [(node.domain, node.op_type) for node in model.graph.node]
    if operators != [_OPERATOR] or model.functions or model.graph.initializer:
        raise ValueError(f"holds {operators!s:.100} and maybe more, wanted is {_OPERATOR} alone")


def _one_thread() -> onnxruntime.SessionOptions:
    """At most some hundred rows are scored at once: waking up threads costs more."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return options


class LoadedModel:
    """Compiled trees that score feature rows; implements `models.model.Model`.

    Immutable and safe to use from several threads.
    """

    def __init__(
        self, *, trees: CompiledTrees, spec: VectorSpec, ref: ModelRef, definition_digest: str
    ) -> None:
        """Take parts that `load_model` has checked; tests may take a shortcut."""
        self._trees = trees
        self.spec = spec
        self.ref = ref
        self.definition_digest: str | None = definition_digest
        self.batch_columns = spec.batch_columns

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        """Encode and score a batch in one call."""
        encode = self.spec.encode
        vectors = [encode(row.transaction, row.features) for row in rows]
        return Scores(self.score_vectors(vectors), vectors)

    def score_vectors(self, vectors: Sequence[Sequence[float]]) -> list[float]:
        """Give the probability of fraud of each vector, in the order of ``spec.columns``."""
        return self._trees.scores(vectors)


def load_model(files: ModelFiles, *, name: str, version: str, trees_digest: str) -> LoadedModel:
    """Make a model of a version's files, or say why not.

    Args:
        files: the bytes as they came.
        name: registered model.
        version: its version.
        trees_digest: the digest the registry has on record for the trees.

    Raises:
        SignatureMismatchError: a file cannot be read, or the files do not belong together.
        DefinitionMismatchError: trained on other feature definitions.
        GoldenRowsMismatchError: a golden row scores otherwise than when it was registered.
    """
    what = f"model {name} version {version}"
    signature = _read_json(files.signature, f"{what}: signature.json")
    _check_definitions(signature.get("definition_digest"), what)
    digest = digest_of(files.trees)
    if digest != trees_digest:
        raise SignatureMismatchError(
            f"{what}: trees.onnx has digest {digest}, the registry says {trees_digest!r:.80}; "
            "the file was changed after it was registered"
        )
    spec = _read_spec(signature, what)
    trees = _read_trees(files.trees, what)
    if trees.columns != len(spec.columns):
        raise SignatureMismatchError(
            f"{what}: the trees take {trees.columns} columns, "
            f"the signature names {len(spec.columns)}"
        )
    model = LoadedModel(
        trees=trees,
        spec=spec,
        ref=ModelRef(name=name, version=version, digest=digest),
        definition_digest=DEFINITION_DIGEST,
    )
    _check_golden(model, _read_json(files.golden, f"{what}: golden.json"), what)
    return model


def digest_of(trees: bytes) -> str:
    """Give the digest by which decisions name a model's trees: 16 hex digits of SHA-256."""
    return hashlib.sha256(trees).hexdigest()[:16]


def _check_definitions(digest: object, what: str) -> None:
    if digest != DEFINITION_DIGEST:
        raise DefinitionMismatchError(
            f"{what} was trained on feature definitions {digest!r:.80}, this code computes "
            f"{DEFINITION_DIGEST}; train again, or run the code it was trained with"
        )


def _read_json(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise SignatureMismatchError(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise SignatureMismatchError(f"{what} must be a JSON object, is {type(value).__name__}")
    return value


def _read_spec(signature: dict[str, Any], what: str) -> VectorSpec:
    try:
        return VectorSpec.from_json(json.dumps(signature["vector"]))
    except (KeyError, TypeError, ValueError) as error:
        raise SignatureMismatchError(
            f"{what}: signature.json holds no vector specification this code can read: {error!r}"
        ) from error


def _read_trees(data: bytes, what: str) -> CompiledTrees:
    try:
        return CompiledTrees(data)
    except ValueError as error:
        raise SignatureMismatchError(
            f"{what}: trees.onnx {error}; ONNX Runtime {onnxruntime.__version__}"
        ) from error


def _check_golden(model: LoadedModel, golden: dict[str, Any], what: str) -> None:
    rows, expected = golden.get("rows"), golden.get("scores")
    if not rows or not isinstance(rows, list) or not isinstance(expected, list):
        raise GoldenRowsMismatchError(f"{what}: golden.json holds no rows with scores")
    width = len(model.spec.columns)
    if len(rows) != len(expected) or any(len(row) != width for row in rows):
        raise GoldenRowsMismatchError(
            f"{what}: golden.json must hold as many scores as rows, each row of {width} columns"
        )
    # JSON has no NaN: a null stands for it.
    vectors = [[np.nan if value is None else value for value in row] for row in rows]
    for at, (score, want) in enumerate(zip(model.score_vectors(vectors), expected, strict=True)):
        if not abs(score - want) <= GOLDEN_TOLERANCE:
            raise GoldenRowsMismatchError(
                f"{what}: golden row {at} scores {score!r}, recorded was {want!r}, "
                f"limit {GOLDEN_TOLERANCE}; the trees do not do what they did in training"
            )
