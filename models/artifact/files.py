"""The files of a registered model version: their paths, their bytes, the digest of the trees.

Knows no MLflow: the callers store the files by path, and pass a function that fetches one path.
Training writes these files and the scorer loads them, so both use this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from models.errors import SignatureMismatchError

TREES_PATH: Final = "weir/trees.onnx"
SIGNATURE_PATH: Final = "weir/signature.json"
GOLDEN_PATH: Final = "weir/golden.json"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The contents of the three files of one version.

    Attributes:
        trees: ``weir/trees.onnx``, an ONNX model of one operator; see `models.artifact.trees`.
        signature: ``weir/signature.json``, the specification of the vector and the definition
            digest; see `models.artifact.signature`.
        golden: ``weir/golden.json``, rows with the scores that the fitted trees gave them; see
            `models.artifact.golden`.
    """

    trees: bytes
    signature: bytes
    golden: bytes

    @property
    def trees_digest(self) -> str:
        """The digest by which the registry and decisions name the trees: 16 hex digits."""
        return hashlib.sha256(self.trees).hexdigest()[:16]

    def by_path(self) -> Mapping[str, bytes]:
        """Give each file's content by its path among the artifacts of a run."""
        return {
            TREES_PATH: self.trees,
            SIGNATURE_PATH: self.signature,
            GOLDEN_PATH: self.golden,
        }


def read_files(read: Callable[[str], bytes | None], *, of: str) -> ModelFiles:
    """Read the three files of a version.

    Args:
        read: gives the content of a path, None if there is no such file.
        of: the version, for error messages: "model NAME version NUMBER".

    Raises:
        SignatureMismatchError: a file is missing.
    """

    def required(path: str) -> bytes:
        content = read(path)
        if content is None:
            raise SignatureMismatchError(
                f"{of} has no file {path}: it was not registered by Weir's training, "
                "or its registration did not finish; train again"
            )
        return content

    return ModelFiles(
        trees=required(TREES_PATH),
        signature=required(SIGNATURE_PATH),
        golden=required(GOLDEN_PATH),
    )
