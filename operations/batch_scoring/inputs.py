"""Turns what is to be scored into parts: row groups of Parquet files, by prediction date.

Owns which files a request needs, the version of their content, and how they are cut into parts.
Reads the archive and tables of features, local files only. Called by `run`.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from features.batch import BATCH_AGE_MS_MAX, BatchView
from models.encoding.vector import VectorSpec
from operations.batch_scoring.errors import FeatureTableError, NoRowsToScoreError
from operations.batch_scoring.request import DayRange, EntitiesAsOf, FeatureTable, Request
from operations.batch_scoring.selection import entity_not_alone, repeats, write_newest
from schemas.errors import shown_time
from schemas.topics import FEATURES
from streams.batch_scoring.plan import RowGroups
from training.archive.delta_errors import delta_errors, file_errors
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED, DAY
from training.errors import NoArchiveError

_VERSION_DIGITS: Final = 16


class Cut(NamedTuple):
    """The rows of one part.

    Attributes:
        prediction_date: ISO date of all rows.
        rows: how many the row groups have.
        inputs: where they are.
    """

    prediction_date: str
    rows: int
    inputs: tuple[RowGroups, ...]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is scored, cut into parts.

    Attributes:
        cuts: the parts, ordered by date.
        data_version: names the content: 16 hex digits over `reach`.
        reach: how far the archive went, or which files the table had; JSON.
        lookup_ms: as of when batch features are looked up; None: as of each event.
        left_out: file of rows that are left out; "" for none.
        batch_features: file of batch features; "" if the model takes none.
    """

    cuts: tuple[Cut, ...]
    data_version: str
    reach: str
    lookup_ms: int | None
    left_out: str
    batch_features: str

    @property
    def rows(self) -> int:
        """How many rows there are, before any is left out."""
        return sum(cut.rows for cut in self.cuts)

    @property
    def prediction_dates(self) -> tuple[str, ...]:
        """The dates that the parts have, in order."""
        return tuple(sorted({cut.prediction_date for cut in self.cuts}))


def find_inputs(url: str, request: Request, *, spec: VectorSpec, scratch: Path) -> Inputs:
    """Find the rows of a request.

    Args:
        url: of the archive.
        request: what is to be scored.
        spec: of the vectors that the model takes.
        scratch: directory of the run; files that the parts need are written there.

    Raises:
        NoArchiveError: nothing has been archived yet.
        ArchiveUnreachableError: the storage failed.
        NoRowsToScoreError: there are no rows.
        FeatureTableError: a table of features lacks a column, or an entity is missing or twice.
    """
    if isinstance(request.rows, FeatureTable):
        return _of_table(request.rows, request, spec)
    archive = _archive_files(url)
    files = [file.path for of_day in archive.by_day.values() for file in of_day]
    with file_errors(url):
        found = repeats(files)
        if isinstance(request.rows, DayRange):
            cuts = tuple(_cuts_of_days(archive.by_day, request.rows, request.rows_a_part))
            lookup_ms, left_out = None, _written(found, scratch / "left-out.parquet")
            first_ms, end_ms = request.rows.first_ms, request.rows.end_ms
        else:
            cuts = _cuts_of_newest(files, found, request.rows, request, scratch)
            lookup_ms, left_out = request.rows.as_of_ms, ""
            first_ms, end_ms = lookup_ms, lookup_ms + 1
    if not cuts:
        raise NoRowsToScoreError(
            f"the archive at {url} has no feature rows from {shown_time(first_ms)} up to "
            f"{shown_time(end_ms)}; see how far it reaches with `weir archive status`, and name "
            "other days"
        )
    view = request.definition.batch_view if spec.batch_columns else None
    features = "" if view is None else _write_batch_features(url, view, first_ms, end_ms, scratch)
    return Inputs(cuts, _digest(archive.reach), archive.reach, lookup_ms, left_out, features)


class _Archive(NamedTuple):
    by_day: Mapping[str, Sequence["_File"]]
    reach: str


class _File(NamedTuple):
    path: str
    rows: int


def _archive_files(url: str) -> _Archive:
    """The files of the logged and of the backfilled feature rows, by day of the event."""
    by_day: dict[str, list[_File]] = defaultdict(list)
    reach: dict[str, object] = {}
    for name in (FEATURES, BACKFILLED):
        table = ArchiveTable(url, name)
        try:
            delta = table.delta
        except NoArchiveError:
            if name == FEATURES:
                raise
            continue
        # A backfill replaces all rows, so its version says which they are.
        reach[name] = dict(table.next_offsets()) if name == FEATURES else delta.version()
        for day, file in _files(delta):
            by_day[day].append(file)
    return _Archive(by_day, json.dumps(reach, sort_keys=True))


def _files(delta: DeltaTable) -> Iterator[tuple[str, _File]]:
    root = unquote(urlsplit(delta.table_uri).path).rstrip("/")
    for action in pa.table(delta.get_add_actions()).to_pylist():
        day = str(action["partition"][DAY])
        yield day, _File(f"{root}/{unquote(action['path'])}", action["num_records"])


def _cuts_of_days(
    by_day: Mapping[str, Sequence[_File]], days: DayRange, rows_a_part: int
) -> Iterator[Cut]:
    first, end = _day(days.first_ms), _day(days.end_ms)
    for day in sorted(by_day):
        if first <= day < end:
            paths = [file.path for file in by_day[day] if file.rows]
            yield from _cut(day, paths, rows_a_part)


def _cuts_of_newest(
    files: Sequence[str], left_out: pa.Table, rows: EntitiesAsOf, request: Request, scratch: Path
) -> tuple[Cut, ...]:
    out = scratch / "newest.parquet"
    found = write_newest(
        files,
        left_out,
        out,
        entity_column=request.entity_column,
        first_ms=rows.as_of_ms - rows.active_ms,
        end_ms=rows.as_of_ms,
    )
    day = _day(rows.as_of_ms)
    return tuple(_cut(day, [str(out)], request.rows_a_part)) if found else ()


def _of_table(table: FeatureTable, request: Request, spec: VectorSpec) -> Inputs:
    path = Path(table.path)
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    present = [file for file in files if file.exists()]
    cuts = tuple(_cut(_day(table.as_of_ms), map(str, present), request.rows_a_part))
    if not cuts:
        raise NoRowsToScoreError(
            f"there are no rows in Parquet files at {path}; write the table of features first, or "
            "name another one with --features"
        )
    for file in present:
        names = set(pq.read_schema(file).names)
        if lacking := [
            name for name in (request.entity_column, *spec.columns) if name not in names
        ]:
            raise FeatureTableError(
                f"{file} lacks the columns {lacking}; the model takes all of {list(spec.columns)}, "
                "and --entity names the column of the entity"
            )
    alone = entity_not_alone([str(file) for file in present], request.entity_column)
    if alone is not None:
        raise FeatureTableError(
            f"in {path}, {alone.rows:,} rows have the {request.entity_column} {alone.entity!r}; "
            "give each entity one row"
        )
    reach = json.dumps({file.name: _content_digest(file) for file in present})
    return Inputs(cuts, _digest(reach), reach, None, "", "")


def _cut(day: str, paths: Iterable[str], rows_a_part: int) -> Iterator[Cut]:
    """Cut the row groups of files, one after another, into parts of at least so many rows."""
    groups: list[RowGroups] = []
    rows = 0
    for path in paths:
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            if groups and groups[-1].path == path:
                groups[-1] = RowGroups(path, groups[-1].first, number + 1)
            else:
                groups.append(RowGroups(path, number, number + 1))
            rows += metadata.row_group(number).num_rows
            if rows >= rows_a_part:
                yield Cut(day, rows, tuple(groups))
                groups, rows = [], 0
    if rows:
        yield Cut(day, rows, tuple(groups))


def _write_batch_features(
    url: str, view: BatchView, first_ms: int, end_ms: int, scratch: Path
) -> str:
    """Write the snapshots that events of a range may see; a missing table has none."""
    out = scratch / "batch-features.parquet"
    place = f"{url.rstrip('/')}/{view.name}"
    time_ms = pc.field("event_time").cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
    wanted = (time_ms >= first_ms - BATCH_AGE_MS_MAX) & (time_ms < end_ms)
    columns = {name: pc.field(name).cast(pa.float64()) for name in view.names}
    try:
        with delta_errors(place), file_errors(place):
            dataset = DeltaTable(place).to_pyarrow_dataset()
            rows = dataset.to_table(
                columns={"user_id": pc.field("user_id"), "snapshot_ms": time_ms, **columns},
                filter=wanted,
            )
    except NoArchiveError:
        numbers = [(name, pa.float64()) for name in view.names]
        empty = pa.schema([("user_id", pa.string()), ("snapshot_ms", pa.int64()), *numbers])
        rows = empty.empty_table()
    pq.write_table(rows, out)
    return str(out)


def _written(left_out: pa.Table, path: Path) -> str:
    if not len(left_out):
        return ""
    pq.write_table(left_out, path)
    return str(path)


def _content_digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _digest(reach: str) -> str:
    return hashlib.sha256(reach.encode()).hexdigest()[:_VERSION_DIGITS]


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).date().isoformat()
