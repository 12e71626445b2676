"""The Delta adapter of the archive: appends rows and the offsets they end at, in one commit.

Owns the promise of exactly once. Called by the archiver, the commands and `read`.
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
    # The log of commits is read at each opening; a day of it is kept behind the checkpoint.
    "delta.logRetentionDuration": "interval 1 days",
    "delta.checkpointInterval": "100",
}
FILE_BYTES: Final = 128 * 1024 * 1024
"""Size of a compacted file that is large enough."""
_WRITER: Final = WriterProperties(compression="ZSTD", compression_level=1)


class ArchiveTable:
    """One table of the archive.

    Attributes:
        name: the topic's name, or `training.archive.tables.BACKFILLED`.
    """

    def __init__(self, url: str, name: str) -> None:
        """Name a table; nothing is opened before the first call.

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
            NoArchiveError: there is none.
            ArchiveUnreachableError: the storage failed.
        """
        if self._delta is None:
            with mapped(self._url):
                self._delta = DeltaTable(self._url)
        return self._delta

    def open_or_create(self) -> None:
        """Open the newest version; make an empty table if there is none."""
        self._delta = None
        try:
            assert self.delta is not None
        except NoArchiveError:
            with mapped(self._url):
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
        """Add rows and say up to where the log is in the table now, in one commit.

        Delivery: exactly once. The offsets are Delta's own application transactions, so rows
        and offsets appear together or not at all, and a commit fails if somebody else has moved
        one of these offsets since the table was opened.
        On failure: nothing is committed; files that were written are swept by `compact`. Open
        the table again before the next attempt.

        Args:
            batches: of the table's schema.
            next_offsets: by partition, of every partition that the rows come from.

        Raises:
            ArchiveConflictError: somebody else is writing the archive.
            ArchiveUnreachableError: the storage failed.
        """
        # A feature that came or went since the table was made.
        is_same = {field.name for field in self.delta.schema().fields} == set(
            SCHEMAS[self.name].names
        )
        with mapped(self._url):
            write_deltalake(
                self.delta,
                pa.Table.from_batches(batches, schema=SCHEMAS[self.name]),
                mode="append",
                schema_mode=None if is_same else "merge",
                writer_properties=_WRITER,
                commit_properties=_offsets(self.name, next_offsets),
            )

    def empty(self, partitions: Sequence[int]) -> None:
        """Take all rows out and start at the log's beginning again, in one commit."""
        schema = SCHEMAS[self.name]
        with mapped(self._url):
            write_deltalake(
                self.delta,
                schema.empty_table(),
                mode="overwrite",
                schema_mode="overwrite",
                commit_properties=_offsets(self.name, dict.fromkeys(partitions, 0)),
            )

    def replace(self, rows: pa.Table, *, metadata: Mapping[str, str]) -> None:
        """Let the table hold these rows and no others, in one commit; make it if there is none.

        Delivery: all or nothing; doing it again changes nothing that a reader sees.

        Args:
            rows: of the table's schema.
            metadata: what the commit says of itself. For people: the log of commits is cleaned.

        Raises:
            ArchiveConflictError: somebody else is writing the table.
            ArchiveUnreachableError: the storage failed.
        """
        self._delta = None
        with mapped(self._url):
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
        """Write the small files of each day together, and delete what nobody needs.

        Args:
            keep_hours: files that left the table less long ago stay for those who still read
                them, and files that were never committed stay as long.

        Returns:
            ``files_added``, ``files_removed``, ``files_deleted``.
        """
        with mapped(self._url):
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
        """The rows of the newest version, as an Arrow dataset; filters prune days and files."""
        self._delta = None
        with mapped(self._url):
            return self.delta.to_pyarrow_dataset()

    def files(self) -> list[str]:
        """The addresses of the Parquet files that the newest version consists of."""
        with mapped(self._url):
            return list(self.delta.file_uris())


def _application(name: str, partition: int) -> str:
    return f"weir-archiver/{name}/{partition}"


def _offsets(name: str, next_offsets: Mapping[int, int]) -> CommitProperties:
    return CommitProperties(
        # Once is enough: a commit that loses is done again from the offsets that won.
        max_commit_retries=1,
        app_transactions=[
            Transaction(app_id=_application(name, partition), version=offset)
            for partition, offset in sorted(next_offsets.items())
        ],
    )


@contextmanager
def mapped(url: str) -> Iterator[None]:
    """Turn Delta's errors into ours."""
    try:
        yield
    except TableNotFoundError as error:
        raise NoArchiveError(
            f"there is no archive table at {url} (setting WEIR_ARCHIVE_URL); start the stack "
            "with `weir up`, or run `weir archive rebuild`"
        ) from error
    except CommitFailedError as error:
        raise ArchiveConflictError(
            f"somebody else wrote {url} at the same time: {error!s:.200}; nothing was written"
        ) from error
    except (DeltaError, OSError) as error:
        raise ArchiveUnreachableError(
            f"the archive at {url} (setting WEIR_ARCHIVE_URL) failed: {error!r:.300}"
        ) from error
