"""The files of model versions that have passed their checks, kept on the disk of the process.

A scorer or an API that starts while the registry is away decides with them, so a restart never
costs the model. Derived: the registry has the same files, and everything here may be deleted.
Several processes of a machine share a directory; what they write is equal.

::

    kept-models/weir-fraud/in-use.json           names the directory of the version in use
    kept-models/weir-fraud/7-0fb15af7c48e9c47/   version.json and the files of version 7
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from models.artifact.files import ModelFiles, read_files
from models.errors import SignatureMismatchError

logger = logging.getLogger(__name__)

KEPT_MAX: Final = 12
"""Most versions of a model that are kept: a bandit has eight arms. The oldest are deleted."""
DIRECTORY: Final = "kept-models"
"""Name of the directory in the data directory."""

_POINTER: Final = "in-use.json"
_DESCRIPTION: Final = "version.json"
_SAFE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class KeptVersion(NamedTuple):
    """One version as it was kept."""

    version: str
    run_id: str
    trees_digest: str
    files: ModelFiles


class KeptModels:
    """The kept versions of one registered model. Raises nothing: a full disk costs no decision."""

    def __init__(self, data_dir: Path, *, model_name: str) -> None:
        """Point at a directory, which is made at the first `keep`.

        Args:
            data_dir: of the deployment.
            model_name: the registered model.
        """
        self._directory = data_dir / DIRECTORY / model_name

    def keep(self, kept: KeptVersion, *, is_in_use: bool) -> None:
        """Write a version that has passed its checks.

        Args:
            kept: the version.
            is_in_use: a process that starts without a registry is to use this one.
        """
        name = f"{kept.version}-{kept.trees_digest}"
        if not _SAFE.fullmatch(name):
            logger.warning("version %.80r is not kept on the disk", name)
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._write(self._directory / name, kept)
            if is_in_use:
                self._point_at(name)
            self._prune(name)
        except OSError as error:
            logger.warning("version %s is not kept in %s: %r", name, self._directory, error)

    def in_use(self) -> KeptVersion | None:
        """Give the version that was in use last; None if there is none that can be read."""
        try:
            name = json.loads((self._directory / _POINTER).read_bytes())["directory"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return self._read(str(name))

    def of(self, version: str) -> KeptVersion | None:
        """Give a version by its number; None if it is not kept or cannot be read."""
        if not _SAFE.fullmatch(version):
            return None
        found = sorted(self._directory.glob(f"{version}-*"), key=_age)
        return self._read(found[-1].name) if found else None

    def forget_in_use(self) -> None:
        """Take note that no version is in use: there is no champion any more."""
        try:
            (self._directory / _POINTER).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be deleted: %r", self._directory / _POINTER, error)

    def _write(self, target: Path, kept: KeptVersion) -> None:
        if target.exists():
            os.utime(target)
            return
        unfinished = Path(tempfile.mkdtemp(dir=self._directory, prefix="."))
        try:
            description = {"version": kept.version, "run_id": kept.run_id}
            contents = {
                **kept.files.by_path(),
                _DESCRIPTION: json.dumps(description).encode(),
            }
            for path, content in contents.items():
                (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
                (unfinished / path).write_bytes(content)
            unfinished.rename(target)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            # Another process of this machine may have been faster.
            if not target.exists():
                raise

    def _point_at(self, name: str) -> None:
        unfinished = self._directory / f".{os.getpid()}-{_POINTER}"
        unfinished.write_text(json.dumps({"directory": name}))
        unfinished.replace(self._directory / _POINTER)

    def _prune(self, newest: str) -> None:
        in_use = self.in_use()
        spared = {newest, in_use and f"{in_use.version}-{in_use.trees_digest}"}
        kept = [each for each in self._directory.iterdir() if each.is_dir()]
        old = sorted((each for each in kept if each.name not in spared), key=_age)
        for each in old[: max(len(kept) - KEPT_MAX, 0)]:
            shutil.rmtree(each, ignore_errors=True)

    def _read(self, name: str) -> KeptVersion | None:
        directory = self._directory / name
        if not _SAFE.fullmatch(name):
            return None
        try:
            found = json.loads((directory / _DESCRIPTION).read_bytes())
            files = read_files(lambda path: (directory / path).read_bytes(), of=str(directory))
            return KeptVersion(
                str(found["version"]), str(found["run_id"]), name.rpartition("-")[2], files
            )
        except (OSError, ValueError, KeyError, TypeError, SignatureMismatchError) as error:
            logger.warning("the version kept in %s cannot be read: %r", directory, error)
            return None


def _age(directory: Path) -> float:
    try:
        return directory.stat().st_mtime
    except OSError:
        return 0.0
