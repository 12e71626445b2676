import hashlib

import pytest

from models.artifact.files import ModelFiles, read_files
from models.errors import SignatureMismatchError

FILES = ModelFiles(trees=b"trees", signature=b"{}", golden=b"[]")


def test_files_are_read_back_from_the_paths_they_are_written_to() -> None:
    by_path = FILES.by_path()
    assert set(by_path) == {"weir/trees.onnx", "weir/signature.json", "weir/golden.json"}
    assert read_files(by_path.get, of="model m version 3") == FILES


@pytest.mark.parametrize("missing", FILES.by_path())
def test_a_missing_file_is_refused_by_its_path(missing: str) -> None:
    others = {path: content for path, content in FILES.by_path().items() if path != missing}
    with pytest.raises(SignatureMismatchError, match=f"model m version 3 has no file {missing}"):
        read_files(others.get, of="model m version 3")


def test_the_digest_is_of_the_trees_alone() -> None:
    assert FILES.trees_digest == hashlib.sha256(b"trees").hexdigest()[:16]
