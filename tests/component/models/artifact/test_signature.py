import json

import pytest

from models.artifact.signature import Signature, write_signature
from models.encoding.vector import VectorSpec
from models.errors import DefinitionMismatchError, SignatureMismatchError

SPEC = VectorSpec(("amount_minor", "ip_country"), {"ip_country": ("DE", "AT")})


def read(**changes: object) -> Signature:
    fields = json.loads(write_signature(SPEC, fitted_by="scikit-learn 1.9")) | changes
    return Signature.read(json.dumps(fields).encode(), of="model m version 3")


def test_a_signature_gives_back_the_specification_it_was_written_for() -> None:
    signature = read()
    signature.check_definitions()
    assert signature.vector_spec() == SPEC


def test_the_specification_of_a_version_of_other_definitions_can_still_be_read() -> None:
    # Parity encodes the vectors of older decisions again.
    signature = read(definition_digest="another")
    with pytest.raises(
        DefinitionMismatchError, match=r"model m version 3 was trained on .*'another'"
    ):
        signature.check_definitions()
    assert signature.vector_spec() == SPEC


@pytest.mark.parametrize(
    "vector", [None, [], {}, {"columns": ["no_such_column"], "categories": {}}]
)
def test_a_specification_that_cannot_be_read_is_refused(vector: object) -> None:
    with pytest.raises(
        SignatureMismatchError, match=r"model m version 3: signature\.json holds no"
    ):
        read(vector=vector).vector_spec()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(SignatureMismatchError, match=r"model m version 3: signature\.json"):
        Signature.read(content, of="model m version 3")
