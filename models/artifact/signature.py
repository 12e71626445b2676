"""The signature of a model version, ``weir/signature.json``: what the trees take as input.

It holds the specification of the vector, the digest of the feature definitions that the model was
trained on, and the library versions that wrote it, which are informational only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Any, Final

from features.definitions import DEFINITION_DIGEST
from models.encoding.vector import COLUMNS, VectorSpec
from models.errors import DefinitionMismatchError, SignatureMismatchError

TOLERANCE: Final = 1e-6
"""Largest accepted difference of a golden row's score. Measured: 0; more means other trees."""


def write_signature(spec: VectorSpec, *, fitted_by: str) -> bytes:
    """Give the content of the signature of a model of these vectors.

    Args:
        spec: of the vectors.
        fitted_by: name and version of the library that fitted it.
    """
    signature = {
        "vector": json.loads(spec.to_json()),
        "vector_digest": spec.digest,
        "definition_digest": DEFINITION_DIGEST,
        "onnxruntime_version": version("onnxruntime"),
        "fitted_by": fitted_by,
    }
    return json.dumps(signature, indent=1).encode()


class Signature:
    """A signature that was read.

    Its specification is parsed on demand: a version of other feature definitions may name columns
    that this code does not know, and its definition digest is to be checked first.
    """

    def __init__(self, fields: Mapping[str, Any], *, of: str) -> None:
        """Take parsed fields; use `read`."""
        self._fields = fields
        self._of = of

    @classmethod
    def read(cls, content: bytes, *, of: str) -> Signature:
        """Read the content of a signature.

        Args:
            content: of the file.
            of: the version, for error messages: "model NAME version NUMBER".

        Raises:
            SignatureMismatchError: it is not a JSON object.
        """
        return cls(json_object(content, of=f"{of}: signature.json"), of=of)

    def check_definitions(self) -> None:
        """Refuse a version that was trained on other feature definitions than this code's.

        Raises:
            DefinitionMismatchError: it names both digests.
        """
        digest = self._fields.get("definition_digest")
        if digest != DEFINITION_DIGEST:
            raise DefinitionMismatchError(
                f"{self._of} was trained on feature definitions {digest!r:.80}, this code "
                f"computes {DEFINITION_DIGEST}; train again, or run the code it was trained with"
            )

    def vector_spec(self, *, columns: Collection[str] | None = COLUMNS) -> VectorSpec:
        """Give the specification of the vectors that the trees take.

        Args:
            columns: those that can be filled; None: any, the caller checks them.

        Raises:
            SignatureMismatchError: there is none, or this code cannot read it or fill its columns.
        """
        try:
            spec = VectorSpec.from_json(json.dumps(self._fields["vector"]))
            if columns is not None:
                spec.check_columns(columns)
            return spec
        except (KeyError, TypeError, ValueError) as error:
            raise SignatureMismatchError(
                f"{self._of}: signature.json holds no vector specification that this code can "
                f"read: {error!r}"
            ) from error


def json_object(content: bytes, *, of: str) -> dict[str, Any]:
    """Parse a file that must hold a JSON object.

    Raises:
        SignatureMismatchError: it does not.
    """
    try:
        value = json.loads(content)
    except ValueError as error:
        raise SignatureMismatchError(f"{of} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise SignatureMismatchError(f"{of} must be a JSON object, is {type(value).__name__}")
    return value
