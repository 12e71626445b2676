"""Loads a model version without ONNX Runtime and NumPy, or refuses it.

The same checks as `models.artifact.load`, the same scores, in a process that starts in
milliseconds: for `scoring.embedded`. The services load with `models.artifact.load`, which scores
faster.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from features.definitions import DEFINITION_DIGEST
from models.artifact.files import ModelFiles
from models.artifact.signature import TOLERANCE, Signature, json_object
from models.artifact.walked_trees import WalkedTrees
from models.encoding.row import encode_row
from models.encoding.vector import COLUMNS, VectorSpec
from models.errors import GoldenRowsMismatchError, SignatureMismatchError
from models.model import Scores
from schemas.decision import ModelRef
from schemas.feature_row import FeatureRow


class LightModel:
    """Trees that score feature rows; implements `models.model.Model`.

    Immutable and safe to use from several threads.
    """

    definition_digest: str | None = DEFINITION_DIGEST
    reader = None

    def __init__(self, *, trees: WalkedTrees, spec: VectorSpec, ref: ModelRef) -> None:
        """Take parts that `load_light` has checked."""
        self._trees = trees
        self.spec = spec
        self.ref = ref
        self.batch_columns = spec.batch_columns

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        """Encode and score a batch."""
        vectors = [encode_row(self.spec, row.transaction, row.features) for row in rows]
        return Scores(self._trees.scores(vectors), vectors)


def load_light(
    files: ModelFiles, *, name: str, version: str, columns: Collection[str] = COLUMNS
) -> LightModel:
    """Load a version from its files, or refuse it.

    Args:
        files: of the version.
        name: of the registered model.
        version: its number.
        columns: those that the caller can fill.

    Raises:
        SignatureMismatchError: a file cannot be read, or the files do not belong together.
        DefinitionMismatchError: trained on other feature definitions.
        GoldenRowsMismatchError: a golden row scores differently than when it was registered.
    """
    of = f"model {name} version {version}"
    signature = Signature.read(files.signature, of=of)
    signature.check_definitions()
    spec = signature.vector_spec(columns=columns)
    try:
        trees = WalkedTrees(files.trees)
    except ValueError as error:
        raise SignatureMismatchError(f"{of}: trees.onnx {error}") from error
    if trees.columns != len(spec.columns):
        raise SignatureMismatchError(
            f"{of}: the trees take {trees.columns} columns, the signature names {len(spec.columns)}"
        )
    _check_golden_rows(files.golden, trees, of=of)
    return LightModel(
        trees=trees, spec=spec, ref=ModelRef(name=name, version=version, digest=files.trees_digest)
    )


def _check_golden_rows(content: bytes, trees: WalkedTrees, *, of: str) -> None:
    golden = json_object(content, of=f"{of}: golden.json")
    try:
        rows = [
            [float("nan") if cell is None else float(cell) for cell in row]
            for row in golden["rows"]
        ]
        recorded = [float(score) for score in golden["scores"]]
        scores = trees.scores(rows)
        differences = [abs(a - b) for a, b in zip(scores, recorded, strict=True)]
    except (KeyError, TypeError, ValueError) as error:
        raise GoldenRowsMismatchError(
            f"{of}: golden.json holds no rows with scores: {error!r:.200}"
        ) from error
    wrong = [at for at, difference in enumerate(differences) if not difference <= TOLERANCE]
    if wrong or not rows:
        first = wrong[0] if wrong else None
        raise GoldenRowsMismatchError(
            f"{of}: {len(wrong)} of {len(rows)} golden rows score differently, the first is row "
            f"{first}; the trees do not score as they did in training"
        )
