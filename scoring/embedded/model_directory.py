"""A model version in a directory: the three files that the scorer loads, and what it is called.

Written by `weir models download`, read by `scoring.embedded.scorer`. The files alone, as MLflow's
own command downloads them, are enough: the model is then called after the directory.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Final

from models.artifact.files import ModelFiles, read_files
from models.artifact.load_light import LightModel, load_light
from models.encoding.vector import COLUMNS
from models.errors import SignatureMismatchError

DESCRIPTION_PATH: Final = "weir/model.json"


def load_directory(directory: Path, *, columns: Collection[str] = COLUMNS) -> LightModel:
    """Load the version in a directory, or refuse it.

    Args:
        directory: holds ``weir/trees.onnx``, ``weir/signature.json`` and ``weir/golden.json``, or
            is itself that directory `weir`.
        columns: those that the caller can fill.

    Raises:
        models.errors.ModelRefusedError: a file is missing or was changed, or the version does not
            fit this code.
    """
    if directory.name == "weir" and not (directory / "weir").exists():
        directory = directory.parent
    name, version, digest = _described(directory)
    files = read_files(
        lambda path: _content(directory / path), of=f"the model in {str(directory)!r:.120}"
    )
    if digest not in (None, files.trees_digest):
        raise SignatureMismatchError(
            f"{directory}: trees.onnx has digest {files.trees_digest}, the registry said {digest}; "
            "the file was changed after it was downloaded"
        )
    return load_light(files, name=name, version=version, columns=columns)


def write_directory(directory: Path, files: ModelFiles, *, name: str, version: str) -> None:
    """Write a version into a directory, which is made if it is missing."""
    description = {"name": name, "version": version, "trees_digest": files.trees_digest}
    contents = {**files.by_path(), DESCRIPTION_PATH: json.dumps(description, indent=1).encode()}
    for path, content in contents.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _described(directory: Path) -> tuple[str, str, str | None]:
    content = _content(directory / DESCRIPTION_PATH)
    if content is None:
        return directory.resolve().name, "local", None
    try:
        found = json.loads(content)
        return str(found["name"]), str(found["version"]), str(found["trees_digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise SignatureMismatchError(
            f"{directory / DESCRIPTION_PATH} does not describe a model: {error!r:.200}"
        ) from error


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
