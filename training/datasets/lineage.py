"""The lineage of a model: digests of the rows it was fitted on, and the version of the code.

Together with the parameters and the digests of definitions and vector, they are enough to train the
version again. Asks git if the code runs from a checkout; knows no registry. Called by
`training.datasets.build` and `training.registry.version_record`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
from pathlib import Path
from typing import Final

import pandas as pd

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_GIT_S_MAX: Final = 10.0


def code_version() -> str:
    """Give the commit of the code, with ``-dirty`` if a file differs, or the package's version.

    Blocks: at most 10 s.
    """
    if (_CHECKOUT / ".git").exists():
        command = ("git", "-C", str(_CHECKOUT), "describe", "--always", "--dirty", "--abbrev=12")
        try:
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=_GIT_S_MAX
            )
            return done.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass  # There is no git, or another user owns the checkout: use the package's version.
    return f"weir {importlib.metadata.version('weir')}"


def table_digest(table: pd.DataFrame) -> str:
    """Give 16 hexadecimal digits over a table; equal rows in equal order give equal digits.

    Examples:
        >>> table = pd.DataFrame({"a": [1, 2]})
        >>> table_digest(table) == table_digest(table.copy()), table_digest(table) == table_digest(
        ...     table[::-1]
        ... )
        (True, False)
    """
    digest = hashlib.sha256(",".join(map(str, table.columns)).encode())
    # pandas hashes values, so equal columns have equal hashes however they are stored.
    for name in table.columns:
        hashes = pd.util.hash_pandas_object(table[name], index=False)
        digest.update(hashes.to_numpy().tobytes())
    return digest.hexdigest()[:16]
