"""Maps the errors of Delta tables to those of `training.errors`. Knows no table.

Called by everything that opens a Delta table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from training.errors import ArchiveConflictError, ArchiveUnreachableError, NoArchiveError


@contextmanager
def file_errors(url: str) -> Iterator[None]:
    """Map the error of a missing file to ours. To be used inside `delta_errors`."""
    try:
        yield
    except FileNotFoundError as error:
        raise NoArchiveError(
            f"a file of the archive table {url} is missing: {error!s:.200}. Copy what is left to a "
            "safe place; `weir archive rebuild` then makes the table again from the logs, as far "
            "back as they go"
        ) from error


@contextmanager
def delta_errors(url: str) -> Iterator[None]:
    """Map Delta's errors to ours."""
    try:
        yield
    except TableNotFoundError as error:
        raise NoArchiveError(
            f"there is no archive table at {url} (setting WEIR_ARCHIVE_URL); start the stack "
            "with `weir up`, or run `weir archive rebuild`"
        ) from error
    except CommitFailedError as error:
        raise ArchiveConflictError(
            f"another process wrote {url} at the same time: {error!s:.200}; nothing was written"
        ) from error
    except (DeltaError, OSError) as error:
        raise ArchiveUnreachableError(
            f"the archive at {url} (setting WEIR_ARCHIVE_URL) failed: {error!r:.300}"
        ) from error
