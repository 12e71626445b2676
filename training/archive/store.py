"""The Delta adapter of the archive: appends rows and their log offsets in one commit.

Owns exactly-once delivery, compaction, and the mapping of Delta's errors to ours. Called by the
archiver, by the modules that read the archive, and by the commands that maintain it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import (
    CommitProperties,
    DeltaTable,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from training.archive.tables import DAY, SCHEMAS
from training.errors import ArchiveConflictError, ArchiveUnreachableError, NoArchiveError

CONFIGURATION: Final = {
    # Every opening reads the log of commits; a day of it is kept before the checkpoint.
    "delta.logRetentionDuration": "interval 1 days",
    "delta.checkpointInterval": "100",
}
FILE_BYTES: Final = 128 * 1024 * 1024
"""Compaction leaves files of this size or larger as they are."""
_WRITER: Final = WriterProperties(compression="ZSTD", compression_level=1)


class ArchiveTable:
    """One table of the archive.

    Attributes:
        name: the topic's name, or `training.archive.tables.BACKFILLED`.
    """

    def __init__(self, url: str, name: str) -> None:
        """Refer to a table; nothing is opened before the first call.

        Args:
            url: of the archive: a directory, or an object store's address.
            name: one of `training.archive.tables.SCHEMAS`.
        """
        self.name = name
        self._url = f"{url.rstrip('/')}/{name}"
        self._delta: DeltaTable | None = None

    @property
    def delta(self) -> DeltaTable:
        """The table as of the last opening or commit.

        Raises:
            NoArchiveError: there is no such table.
            ArchiveUnreachableError: the storage failed.
        """
        if self._delta is None:
            with delta_errors(self._url):
                self._delta = DeltaTable(self._url)
        return self._delta

    def open_or_create(self) -> None:
        """Open the newest version; create an empty table if there is none."""
        self._delta = None
        try:
            assert self.delta is not None
        except NoArchiveError:
            with delta_errors(self._url):
                if "://" not in self._url:
                    Path(self._url).mkdir(parents=True, exist_ok=True)
                self._delta = DeltaTable.create(
                    self._url,
                    schema=SCHEMAS[self.name],
                    mode="ignore",
                    partition_by=[DAY],
                    configuration=CONFIGURATION,
                )

    def next_offset(self, partition: int) -> int:
        """Give the first offset of a partition that is not in the table."""
        version = self.delta.transaction_version(_application(self.name, partition))
        return 0 if version is None else version

    def append(self, batches: Sequence[pa.RecordBatch], *, next_offsets: Mapping[int, int]) -> None:
        """Append rows and the log offsets after them, in one commit.

        Delivery: exactly once. The offsets are Delta's application transactions, so rows and
        offsets appear together or not at all. The commit fails if another writer has moved one of
        these offsets since the table was opened.
        On failure: nothing is committed; `compact` deletes the files that were written. Open the
        table again before the next attempt.

        Args:
            batches: with the table's schema.
            next_offsets: the first offset that is not appended, for every partition that the rows
                come from.

        Raises:
            ArchiveConflictError: another process is writing the table.
            ArchiveUnreachableError: the storage failed.
        """
        # False if a feature was added or removed since the table was created.
        is_same = {field.name for field in self.delta.schema().fields} == set(
            SCHEMAS[self.name].names
        )
        with delta_errors(self._url):
            write_deltalake(
                self.delta,
                pa.Table.from_batches(batches, schema=SCHEMAS[self.name]),
                mode="append",
                schema_mode=None if is_same else "merge",
                writer_properties=_WRITER,
                commit_properties=_offsets(self.name, next_offsets),
            )

    def empty(self, partitions: Sequence[int]) -> None:
        """Remove all rows and reset the offsets to the beginning of the log, in one commit."""
        schema = SCHEMAS[self.name]
        with delta_errors(self._url):
            write_deltalake(
                self.delta,
                schema.empty_table(),
                mode="overwrite",
                schema_mode="overwrite",
                commit_properties=_offsets(self.name, dict.fromkeys(partitions, 0)),
            )

    def replace(self, rows: pa.Table, *, metadata: Mapping[str, str]) -> None:
        """Replace all rows of the table in one commit; create the table if there is none.

        Delivery: all or nothing; a repeat with the same rows changes nothing for readers.

        Args:
            rows: with the table's schema.
            metadata: of the commit. Informational only: old commits are deleted.

        Raises:
            ArchiveConflictError: another process is writing the table.
            ArchiveUnreachableError: the storage failed.
        """
        self._delta = None
        with delta_errors(self._url):
            write_deltalake(
                self._url,
                rows,
                mode="overwrite",
                schema_mode="overwrite",
                partition_by=[DAY],
                configuration=CONFIGURATION,
                writer_properties=_WRITER,
                commit_properties=CommitProperties(custom_metadata=dict(metadata)),
            )

    def compact(self, *, keep_hours: int) -> Mapping[str, Any]:
        """Merge the small files of each day, and delete files that are no longer needed.

        Args:
            keep_hours: age up to which files that left the table, or were never committed, are
                kept for readers of an older version.

        Returns:
            ``files_added``, ``files_removed``, ``files_deleted``.
        """
        with delta_errors(self._url):
            figures = self.delta.optimize.compact(target_size=FILE_BYTES, writer_properties=_WRITER)
            deleted = self.delta.vacuum(
                retention_hours=keep_hours, dry_run=False, enforce_retention_duration=False
            )
        return {
            "files_added": figures["numFilesAdded"],
            "files_removed": figures["numFilesRemoved"],
            "files_deleted": len(deleted),
        }

    def dataset(self) -> ds.Dataset:
        """Give the newest version as an Arrow dataset, whose filters prune days and files."""
        self._delta = None
        with delta_errors(self._url):
            return self.delta.to_pyarrow_dataset()

    def files(self) -> list[str]:
        """Give the addresses of the Parquet files of the newest version."""
        with delta_errors(self._url):
            return list(self.delta.file_uris())


def _application(name: str, partition: int) -> str:
    return f"weir-archiver/{name}/{partition}"


def _offsets(name: str, next_offsets: Mapping[int, int]) -> CommitProperties:
    return CommitProperties(
        # No retries: after a conflict the writer continues from the offsets of the other commit.
        max_commit_retries=1,
        app_transactions=[
            Transaction(app_id=_application(name, partition), version=offset)
            for partition, offset in sorted(next_offsets.items())
        ],
    )


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
