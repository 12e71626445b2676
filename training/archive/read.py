"""Reads the archive into tables of the shape that `training.datasets.read_log` gives.

Owns which rows count: the first of each transaction by log offset, of the present definitions. Of
a transaction whose row in the log is of other definitions, the row that a backfill computed stands
in its place. The archive itself keeps every record, so that it is the log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas.topics import FEATURES, LABELS
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED, DAY, LABEL_COLUMNS, SCHEMAS, TRANSACTION_COLUMNS
from training.errors import ArchiveUnreachableError, NoArchiveError, NoFeatureRowsError

_PLACE = [("log_partition", "ascending"), ("log_offset", "ascending")]
_IS_PRESENT = pc.field("definition_digest") == DEFINITION_DIGEST


@dataclass(frozen=True, slots=True)
class ArchiveVersion:
    """How far the archive went: by table and partition, the first offset that is not in it.

    Of backfilled rows, the offset is that of the log's rows which they stand for.

    Offsets of the log, not versions of the Delta tables: an archive that was made anew from the
    log has other versions and the same rows.

    Examples:
        >>> ArchiveVersion({"labels": {0: 7}}).digest == ArchiveVersion({"labels": {0: 8}}).digest
        False
        >>> ArchiveVersion.from_json(ArchiveVersion({"labels": {0: 7}}).to_json())
        ArchiveVersion(next_offsets={'labels': {0: 7}})
    """

    next_offsets: Mapping[str, Mapping[int, int]]

    @property
    def digest(self) -> str:
        """16 hexadecimal digits."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Give it as JSON; equal versions give equal text."""
        return json.dumps(
            {name: dict(sorted(ends.items())) for name, ends in sorted(self.next_offsets.items())},
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> ArchiveVersion:
        """Read what :meth:`to_json` gave."""
        offsets = json.loads(text)
        return cls(
            {
                name: {int(partition): end for partition, end in ends.items()}
                for name, ends in offsets.items()
            }
        )


def archive_version(url: str, *, partitions: int) -> ArchiveVersion:
    """Say how far the tables of rows and labels go now.

    Raises:
        NoArchiveError: nothing has been archived yet.
    """
    tables = [ArchiveTable(url, name) for name in (FEATURES, LABELS)]
    ends = {
        table.name: {number: table.next_offset(number) for number in range(partitions)}
        for table in tables
    }
    places = _backfilled(url, ["log_partition", "log_offset"], None)
    if places is not None and len(places):
        last = places.group_by("log_partition").aggregate([("log_offset", "max")])
        columns = last["log_partition"].to_pylist(), last["log_offset_max"].to_pylist()
        ends[BACKFILLED] = {number: offset + 1 for number, offset in zip(*columns, strict=True)}
    return ArchiveVersion(ends)


def archived_feature_rows(
    url: str,
    *,
    first_ms: int | None = None,
    end_ms: int | None = None,
    version: ArchiveVersion | None = None,
) -> pd.DataFrame:
    """Read feature rows as `training.datasets.read_log.feature_table` gives them.

    Args:
        url: of the archive.
        first_ms: earliest event time, ms since 1970 UTC, itself included; None for all.
        end_ms: first event time no longer included; None for all.
        version: leave out what came later than this; None for everything.

    Raises:
        NoArchiveError: nothing has been archived yet.
        NoFeatureRowsError: there is no row of the present definitions.
    """
    columns = [*TRANSACTION_COLUMNS, *FEATURE_NAMES, "log_partition", "log_offset"]
    # A repeat may name another time than the first row: choose by time after the first is found.
    table = _first_of_each(present_rows(url, columns, version=version))
    inside = table["event_time_ms"].between(
        -(2**63) if first_ms is None else first_ms,
        2**63 - 1 if end_ms is None else end_ms - 1,
    )
    if not inside.any():
        raise NoFeatureRowsError(
            f"the archive at {url} holds {len(table)} feature rows of the definitions "
            f"{DEFINITION_DIGEST}, none of them from {first_ms} ms up to {end_ms} ms; see how far "
            "it goes with `weir archive status`"
        )
    return table[inside].reset_index(drop=True).astype(dict.fromkeys(FEATURE_NAMES, "float64"))


def archived_labels(
    url: str, *, as_of_ms: int | None = None, version: ArchiveVersion | None = None
) -> pd.DataFrame:
    """Read the latest observation of each transaction, shaped as `read_log.label_table` gives it.

    Args:
        url: of the archive.
        as_of_ms: leave out what was observed later, ms since 1970 UTC; None for everything.
        version: leave out what came later than this; None for everything.

    Raises:
        NoArchiveError: nothing has been archived yet.
    """
    wanted = _wanted(LABELS, version)
    if as_of_ms is not None:
        wanted &= pc.field("observed_time_ms") <= as_of_ms
    table: pd.DataFrame = _read(url, LABELS, LABEL_COLUMNS, wanted).to_pandas()
    # Stable: equal times keep the order of the log, so the last one is the later arrival.
    table = table.sort_values("observed_time_ms", kind="stable")
    table = table.drop_duplicates("transaction_id", keep="last").reset_index(drop=True)
    typed: pd.DataFrame = table.astype({"is_fraud": bool, "log_partition": "int64"})
    return typed


def archived_transactions(url: str, *, version: ArchiveVersion | None = None) -> pa.Table:
    """Read who paid how much when: the first row of each transaction, of any definitions.

    Returns:
        ``transaction_id``, ``user_id``, ``amount_minor``, ``event_time_ms``, in log order.
    """
    names = ["transaction_id", "user_id", "amount_minor", "event_time_ms"]
    places = [name for name, _ in _PLACE]
    rows = _read(url, FEATURES, [*names, *places], _wanted(FEATURES, version))
    return pa.Table.from_pandas(_first_of_each(rows)[names], preserve_index=False)


def archived_observations(url: str, *, version: ArchiveVersion | None = None) -> pa.Table:
    """Read what was observed of each transaction and when.

    Of equal times the later arrival counts.

    Returns:
        ``transaction_id``, ``observed_time_ms``, ``is_fraud``; one row a transaction and time.
    """
    names = ["transaction_id", "observed_time_ms", "is_fraud"]
    places = [name for name, _ in _PLACE]
    rows = _read(url, LABELS, [*names, *places], _wanted(LABELS, version)).to_pandas()
    latest = rows.drop_duplicates(["transaction_id", "observed_time_ms"], keep="last")
    return pa.Table.from_pandas(
        latest[names].astype({"is_fraud": bool, "observed_time_ms": "int64"}),
        preserve_index=False,
    )


def archived_newest_ms(url: str, *, version: ArchiveVersion | None = None) -> int:
    """Give the newest time that rows or labels speak of, ms since 1970 UTC; 0 if there are none.

    Raises:
        NoArchiveError: nothing has been archived yet.
    """
    times = ((FEATURES, "event_time_ms"), (LABELS, "observed_time_ms"))
    newest_ms = 0
    for name, column in times:
        columns = [column, *(place for place, _ in _PLACE)]
        found = pc.max(_read(url, name, columns, _wanted(name, version))[column]).as_py()
        newest_ms = max(newest_ms, found or 0)
    return newest_ms


def count_repeats(
    url: str, *, first_ms: int, end_ms: int, version: ArchiveVersion | None = None
) -> int:
    """Count the feature rows of a range whose transaction has another row before them.

    Args:
        url: of the archive.
        first_ms: earliest event time, ms since 1970 UTC, itself included.
        end_ms: first event time no longer included.
        version: leave out what came later than this; None for everything.
    """
    columns = ["transaction_id", "event_time_ms", *(name for name, _ in _PLACE)]
    table = present_rows(url, columns, version=version).to_pandas()
    is_repeat = table.duplicated("transaction_id", keep="first")
    return int((is_repeat & table["event_time_ms"].between(first_ms, end_ms - 1)).sum())


def present_rows(
    url: str, columns: Sequence[str], *, version: ArchiveVersion | None = None
) -> pa.Table:
    """Read all rows of the present definitions, logged or backfilled, in the order of the log.

    Args:
        url: of the archive.
        columns: to read; ``log_partition`` and ``log_offset`` among them.
        version: leave out what came later than this; None for everything.

    Raises:
        NoArchiveError: nothing has been archived yet.
    """
    logged = _read(url, FEATURES, columns, _wanted(FEATURES, version) & _IS_PRESENT)
    backfilled = _backfilled(url, columns, version)
    if backfilled is None or not len(backfilled):
        return logged
    return pa.concat_tables([logged, backfilled.cast(logged.schema)]).sort_by(_PLACE)


def _backfilled(
    url: str, columns: Sequence[str], version: ArchiveVersion | None
) -> pa.Table | None:
    if version is not None and BACKFILLED not in version.next_offsets:
        return None
    try:
        ArchiveTable(url, BACKFILLED).dataset()
    except NoArchiveError:
        return None
    return _read(url, BACKFILLED, columns, _wanted(BACKFILLED, version) & _IS_PRESENT)


def archived_days(url: str, name: str) -> list[str]:
    """Name the days of event time that a table holds rows of, sorted."""
    days = ArchiveTable(url, name).dataset().to_table(columns=[DAY])[DAY].unique()
    return sorted(str(day) for day in days.to_pylist())


def _wanted(name: str, version: ArchiveVersion | None) -> Any:
    wanted = pc.field("is_readable")
    if version is None:
        return wanted
    known = pc.scalar(value=False)
    for partition, end in version.next_offsets[name].items():
        known |= (pc.field("log_partition") == partition) & (pc.field("log_offset") < end)
    return wanted & known


def _read(url: str, name: str, columns: Sequence[str], wanted: Any) -> pa.Table:
    dataset = ArchiveTable(url, name).dataset()
    # A table gets the column of a feature that was added with the first row that has it.
    known = [column for column in columns if column in dataset.schema.names]
    try:
        rows = dataset.to_table(columns=known, filter=wanted).sort_by(_PLACE)
    except FileNotFoundError as error:
        raise NoArchiveError(
            f"a file of the archive table {url.rstrip('/')}/{name} is missing: {error!s:.200}; "
            "`weir archive rebuild` makes the table anew from the logs"
        ) from error
    except OSError as error:
        raise ArchiveUnreachableError(
            f"the archive table {url.rstrip('/')}/{name} could not be read: {error!r:.300}"
        ) from error
    for column in columns:
        if column not in known:
            rows = rows.append_column(column, pa.nulls(len(rows), SCHEMAS[name].field(column).type))
    return rows.select(list(columns))


def _first_of_each(rows: pa.Table) -> pd.DataFrame:
    table: pd.DataFrame = rows.to_pandas().astype({"log_partition": "int64"})
    return table.drop_duplicates("transaction_id", keep="first")
