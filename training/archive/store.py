"""The Delta adapter of the archive: appends rows and their log offsets in one commit.

Owns exactly-once delivery, the ids of the log that a table follows, and compaction. Called by the
archiver, by the modules that read the archive, and by the commands that maintain it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.transaction import AddAction, RemoveAction

from clients.topic_description import LogIdentity
from training.archive.delta_errors import delta_errors, file_errors
from training.archive.tables import DAY, SCHEMAS
from training.errors import NoArchiveError

CONFIGURATION: Final = {
    # Every opening reads the log of commits; a day of it is kept before the checkpoint.
    "delta.logRetentionDuration": "interval 1 days",
    "delta.checkpointInterval": "100",
}
FILE_BYTES: Final = 128 * 1024 * 1024
"""Compaction leaves files of this size or larger as they are."""
_CLUSTER_ID: Final = "weir.clusterId"
_TOPIC_ID: Final = "weir.topicId"
"""Properties of a table: the ids of the topic whose records it holds."""

# Most columns differ in every row. Without dictionaries a row takes a sixth less CPU to write, and
# a fifth fewer bytes (measured).
_COLUMNS: Final = ColumnProperties(dictionary_enabled=False)
_APPENDED: Final = WriterProperties(
    # A commit writes one file a day of event time, and each of its 60 columns by itself: with zstd
    # half of the CPU goes into starting to compress (measured). Compaction writes them again.
    compression="SNAPPY",
    default_column_properties=_COLUMNS,
)
_KEPT: Final = WriterProperties(
    compression="ZSTD", compression_level=1, default_column_properties=_COLUMNS
)


class ArchiveTable:
    """One table of the archive.

    Attributes:
        name: the topic's name, or `training.archive.tables.BACKFILLED`.
        url: its address.
    """

    def __init__(self, url: str, name: str) -> None:
        """Refer to a table; nothing is opened before the first call.

        Args:
            url: of the archive: a directory, or an object store's address.
            name: one of `training.archive.tables.SCHEMAS`.
        """
        self.name = name
        self.url = f"{url.rstrip('/')}/{name}"
        self._delta: DeltaTable | None = None

    @property
    def delta(self) -> DeltaTable:
        """The table as of the last opening or commit.

        Raises:
            NoArchiveError: there is no such table.
            ArchiveUnreachableError: the storage failed.
        """
        if self._delta is None:
            with delta_errors(self.url):
                self._delta = DeltaTable(self.url)
        return self._delta

    def open_or_create(self) -> None:
        """Open the newest version; create an empty table, which follows no log, if there is none.

        Raises:
            ArchiveUnreachableError: the storage failed.
        """
        self._delta = None
        try:
            assert self.delta is not None
        except NoArchiveError:
            with delta_errors(self.url):
                if "://" not in self.url:
                    Path(self.url).mkdir(parents=True, exist_ok=True)
                self._delta = DeltaTable.create(
                    self.url,
                    schema=SCHEMAS[self.name],
                    mode="ignore",
                    partition_by=[DAY],
                    configuration=CONFIGURATION,
                )

    @property
    def followed(self) -> LogIdentity | None:
        """The log whose records the table holds; None if it has not been noted."""
        noted = self.delta.metadata().configuration
        if _TOPIC_ID not in noted:
            return None
        return LogIdentity(noted[_CLUSTER_ID], noted[_TOPIC_ID])

    def swapped_in(self) -> LogIdentity | None:
        """The log of a table from `beside` if all rows of this one are its rows; None otherwise.

        `replace_by` and the `follow` after it are two commits. After a crash in between, this
        says more than `followed`, until anything else is written.
        """
        directories = {path.partition("/")[0] for path in self._paths()}
        if len(directories) != 1:
            return None
        try:
            return self.beside(directories.pop()).followed
        except NoArchiveError:
            # An ordinary table, whose rows are in directories by day.
            return None

    def follow(self, log: LogIdentity) -> None:
        """Note the log whose records the table holds, in one commit.

        Raises:
            ArchiveConflictError: another process is writing the table.
        """
        with delta_errors(self.url):
            self.delta.alter.set_table_properties(
                {_CLUSTER_ID: log.cluster_id, _TOPIC_ID: log.topic_id},
                raise_if_not_exists=False,
                commit_properties=CommitProperties(max_commit_retries=1),
            )

    def next_offset(self, partition: int) -> int:
        """Give the first offset of a partition that is not in the table."""
        version = self.delta.transaction_version(_application(self.name, partition))
        return 0 if version is None else version

    def next_offsets(self) -> dict[int, int]:
        """Give `next_offset` of every partition of which the table has rows.

        Raises:
            NoArchiveError: there is no such table, or one of its files is missing.
            ArchiveUnreachableError: the storage failed.
        """
        partitions: set[int] = set()
        with delta_errors(self.url), file_errors(self.url):
            rows = self.delta.to_pyarrow_dataset()
            for batch in rows.to_batches(columns=["log_partition"]):
                partitions.update(pc.unique(batch["log_partition"]).to_pylist())
        return {partition: self.next_offset(partition) for partition in sorted(partitions)}

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
        with delta_errors(self.url):
            write_deltalake(
                self.delta,
                pa.Table.from_batches(batches, schema=SCHEMAS[self.name]),
                mode="append",
                schema_mode=None if is_same else "merge",
                writer_properties=_APPENDED,
                commit_properties=_offsets(self.name, next_offsets),
            )

    def beside(self, label: str) -> ArchiveTable:
        """Refer to a second table of the same topic, in a directory inside this one's.

        This table does not see it. `replace_by` makes its files this table's.
        """
        second = ArchiveTable(self.url, label)
        second.name = self.name
        return second

    def replace_by(self, second: ArchiveTable, *, partitions: Iterable[int]) -> None:
        """Replace all rows, offsets and columns by those of a table `beside`, in one commit.

        Delivery: all or nothing; a crash before the commit leaves this table as it was.

        Args:
            second: complete, and no longer written to.
            partitions: all that either table has; the offsets of those that only this one has are
                reset.

        Raises:
            ArchiveConflictError: another process wrote this table since it was opened.
            ArchiveUnreachableError: the storage failed.
        """
        if not second.url.startswith(f"{self.url}/"):
            raise ValueError(f"{second.url} is not inside {self.url}")
        with delta_errors(self.url):
            self.delta.create_write_transaction(
                second._add_actions(within=self.url),
                mode="overwrite",
                schema=second.delta.schema(),
                partition_by=[DAY],
                commit_properties=_offsets(
                    self.name, {number: second.next_offset(number) for number in partitions}
                ),
            )
        self._delta = None

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
        with delta_errors(self.url):
            write_deltalake(
                self.url,
                rows,
                mode="overwrite",
                schema_mode="overwrite",
                partition_by=[DAY],
                configuration=CONFIGURATION,
                writer_properties=_KEPT,
                commit_properties=CommitProperties(custom_metadata=dict(metadata)),
            )

    def compact(self, *, keep_hours: int) -> Mapping[str, Any]:
        """Merge the small files of each day, and delete files that are no longer needed.

        Args:
            keep_hours: age up to which files that left the table, or were never committed, are
                kept: for readers of an older version, and for commits under way. With 0, no other
                process may write the table meanwhile.

        Returns:
            ``files_added``, ``files_removed``, ``files_deleted``.
        """
        with delta_errors(self.url):
            figures = self.delta.optimize.compact(target_size=FILE_BYTES, writer_properties=_KEPT)
            deleted = self.delta.vacuum(
                retention_hours=keep_hours,
                dry_run=False,
                enforce_retention_duration=False,
                # Also the files that no commit names: those of a writer that was killed.
                full=True,
            )
        return {
            "files_added": figures["numFilesAdded"],
            "files_removed": figures["numFilesRemoved"],
            "files_deleted": len(deleted),
        }

    def dataset(self) -> ds.Dataset:
        """Give the newest version as an Arrow dataset, whose filters prune days and files."""
        self._delta = None
        with delta_errors(self.url):
            return self.delta.to_pyarrow_dataset()

    def files(self) -> list[str]:
        """Give the addresses of the Parquet files of the newest version."""
        with delta_errors(self.url):
            return list(self.delta.file_uris())

    def _add_actions(self, *, within: str) -> list[AddAction | RemoveAction]:
        """Give what a table at an address above this one's needs to know of each file."""
        directory = self.url.removeprefix(f"{within}/")
        return [
            AddAction(
                f"{directory}/{file['path']}",
                file["size_bytes"],
                {name: str(value) for name, value in file["partition"].items()},
                file["modification_time"],
                # Informational only.
                data_change=True,
                stats=json.dumps({"numRecords": file["num_records"]}),
            )
            for file in pa.table(self.delta.get_add_actions()).to_pylist()
        ]

    def _paths(self) -> list[str]:
        """Give the paths of the files within the table."""
        paths: list[str] = pa.table(self.delta.get_add_actions())["path"].to_pylist()
        return paths


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
