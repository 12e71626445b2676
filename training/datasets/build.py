"""A data set by date: feature rows of the archive, joined in time with labels and batch features.

Owns what a data set's version is made of, and that the same version gives the same bytes. Called
by `weir dataset` and by `weir train`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import write_deltalake

from features.batch import BATCH_NAMES, BATCH_VIEW, LABEL_VIEW
from features.definitions import DAY_MS, DEFINITION_DIGEST, FEATURE_NAMES
from schemas.settings import Settings
from training.archive.read import (
    ArchiveVersion,
    archive_version,
    archived_feature_rows,
    archived_newest_ms,
    archived_observations,
    archived_transactions,
    count_repeats,
)
from training.archive.tables import TRANSACTION_COLUMNS
from training.datasets.batch_tables import transaction_labels, user_statistics
from training.datasets.feature_store import feature_refs, join_in_time, open_store
from training.datasets.lineage import code_version, table_digest
from training.datasets.rows import (
    MATURITY_MS,
    check_null_share,
    join_labels,
    newest_ms,
    statistics,
)
from training.errors import DatasetReportError, EmptyRangeError

COLUMNS: Final = (
    *TRANSACTION_COLUMNS,
    *FEATURE_NAMES,
    *BATCH_NAMES,
    "log_partition",
    "log_offset",
    "is_fraud",
)
"""Columns of a data set, in their order."""


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """What a data set is made of. Equal versions give equal bytes.

    Attributes:
        archive: log offsets up to which the archive was read, as JSON.
        first_ms: earliest event time, ms since 1970 UTC, itself included.
        end_ms: first event time that is no longer included.
        as_of_ms: what was observed later is not known to it.
        maturity_ms: age from which on a row counts.
        definition_digest: of the features.
        code_version: of the code that made it.
    """

    archive: str
    first_ms: int
    end_ms: int
    as_of_ms: int
    maturity_ms: int
    definition_digest: str
    code_version: str

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over all of it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """Give it as JSON; equal versions give equal text."""
        return json.dumps(asdict(self), indent=1)


@dataclass(frozen=True)
class Dataset:
    """A data set in memory.

    Attributes:
        table: columns `COLUMNS`, ordered by event time; ties keep the order of the log.
        version: what it is made of.
        repeats: rows of the archive in its range that were left out, because their transaction
            had one before.
        immature: rows of its range that were too young to count.
    """

    table: pd.DataFrame
    version: DatasetVersion
    repeats: int
    immature: int

    @cached_property
    def rows_digest(self) -> str:
        """16 hexadecimal digits over the rows, see `training.datasets.lineage.table_digest`."""
        return table_digest(self.table)

    def parquet(self) -> bytes:
        """Give the table as a Parquet file; the version is in its metadata."""
        table = pa.Table.from_pandas(self.table, preserve_index=False)
        table = table.replace_schema_metadata({"weir.dataset": self.version.to_json()})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()

    def report(self) -> str:
        """Give what a person asks first, as JSON."""
        frauds = int(self.table["is_fraud"].sum())
        figures = {
            "digest": self.version.digest,
            "rows_digest": self.rows_digest,
            "rows": len(self.table),
            "frauds": frauds,
            "fraud_share": frauds / len(self.table),
            "repeats": self.repeats,
            "immature": self.immature,
            "version": json.loads(self.version.to_json()),
        }
        return json.dumps(figures, indent=1)

    def statistics_csv(self) -> bytes:
        """Give `training.datasets.rows.statistics` as a file."""
        return bytes(statistics(self.table).to_csv(index_label="column").encode())


def build_dataset(
    settings: Settings,
    *,
    first_ms: int,
    end_ms: int,
    archive: ArchiveVersion | None = None,
    maturity_ms: int = MATURITY_MS,
) -> Dataset:
    """Make the data set of a range of event time.

    Labels count as known when all rows of the range were mature, or as known now if that is
    earlier. Labels and batch features are joined by Feast, from tables that are computed as of
    the version for this one purpose: what was materialised since plays no part.

    Args:
        settings: where the archive is.
        first_ms: earliest event time, ms since 1970 UTC, itself included.
        end_ms: first event time no longer included.
        archive: how much of the archive to know; None: all there is now.
        maturity_ms: age, ms, from which on a row counts.

    Raises:
        EmptyRangeError: the end is not after the beginning.
        NoArchiveError: rows or labels have not been archived.
        NoFeatureRowsError: nothing is there, or nothing is old enough.
        OneClassError: no fraud is known, or nothing else.
        NullShareError: a column has no value too often.
        FutureFeaturesError: labels are older than the features.
        RowCountError: Feast lost or doubled rows.
    """
    if end_ms <= first_ms:
        raise EmptyRangeError(
            f"the range ends at {end_ms} ms, not after its beginning at {first_ms} ms; name a "
            "later end"
        )
    url = settings.archive_url
    archive = archive or archive_version(url, partitions=settings.topic_partitions)
    rows = archived_feature_rows(url, first_ms=first_ms, end_ms=end_ms, version=archive)
    observations = archived_observations(url, version=archive)
    transactions = archived_transactions(url, version=archive)
    newest = max(
        newest_ms(rows, observations.to_pandas()),
        pc.max(transactions["event_time_ms"]).as_py(),
    )
    as_of_ms = min(end_ms - 1 + maturity_ms, newest)
    with tempfile.TemporaryDirectory(prefix="weir-dataset-") as scratch:
        days = range(first_ms // DAY_MS, (end_ms - 1) // DAY_MS + 1)
        batch = user_statistics(transactions, observations, snapshots=list(days))
        write_deltalake(f"{scratch}/{BATCH_VIEW}", batch)
        write_deltalake(f"{scratch}/{LABEL_VIEW}", transaction_labels(observations))
        batch_values, labels = _join(settings, Path(scratch), rows, as_of_ms=as_of_ms)
    observed_ms = _observed_ms(observations, as_of_ms)
    labels = labels.assign(observed_time_ms=labels["transaction_id"].map(observed_ms))
    table = join_labels(rows, labels, maturity_ms=maturity_ms, as_of_ms=as_of_ms)
    table = table.join(batch_values, on="transaction_id")
    # Nobody's mean is a value, too: only where there is a history has its absence to be a fault.
    check_null_share(table[table[BATCH_NAMES[0]] > 0])
    return Dataset(
        table=table[list(COLUMNS)],
        version=DatasetVersion(
            archive=archive.to_json(),
            first_ms=first_ms,
            end_ms=end_ms,
            as_of_ms=as_of_ms,
            maturity_ms=maturity_ms,
            definition_digest=DEFINITION_DIGEST,
            code_version=code_version(),
        ),
        repeats=count_repeats(url, first_ms=first_ms, end_ms=end_ms, version=archive),
        immature=len(rows) - len(table),
    )


def newest_dataset(settings: Settings, *, days: int, maturity_ms: int = MATURITY_MS) -> Dataset:
    """Make the data set of the newest days, all of whose rows are old enough to count.

    ::

        archive   ------------------------------------------------->|  newest time
        range          [ day | day | ... | day )<---- maturity ---->|

    Whole days (UTC), so that it is the same until another day has matured.

    Args:
        settings: where the archive is.
        days: how many, at least 1.
        maturity_ms: as for `build_dataset`.

    Raises:
        NoArchiveError, NoFeatureRowsError, OneClassError, NullShareError, FutureFeaturesError,
        RowCountError: as `build_dataset`.
    """
    archive = archive_version(settings.archive_url, partitions=settings.topic_partitions)
    newest = archived_newest_ms(settings.archive_url, version=archive)
    end_ms = (newest + 1 - maturity_ms) // DAY_MS * DAY_MS
    return build_dataset(
        settings,
        first_ms=end_ms - days * DAY_MS,
        end_ms=end_ms,
        archive=archive,
        maturity_ms=maturity_ms,
    )


def rebuild_dataset(settings: Settings, report: str) -> Dataset:
    """Make the very rows of an earlier data set again.

    Its version may differ in the version of the code alone; its rows do not differ.

    Args:
        settings: where the archive is; one made anew from the logs will do.
        report: what `Dataset.report` gave.

    Raises:
        DatasetReportError: this is no such report, it is of other feature definitions, or the
            rows came out otherwise.
        NoArchiveError: rows or labels have not been archived.
    """
    try:
        found = json.loads(report)
        version = DatasetVersion(**found["version"])
        rows_digest = str(found["rows_digest"])
        archive = ArchiveVersion.from_json(version.archive)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DatasetReportError(
            f"this is no report of a data set ({error!r:.100}); `weir dataset build` prints one, "
            "and MLflow keeps it as dataset/report.json"
        ) from error
    if version.definition_digest != DEFINITION_DIGEST:
        raise DatasetReportError(
            f"the data set {version.digest} follows feature definitions "
            f"{version.definition_digest}, this code computes {DEFINITION_DIGEST}; use the code "
            f"that made it, {version.code_version}"
        )
    again = build_dataset(
        settings,
        first_ms=version.first_ms,
        end_ms=version.end_ms,
        archive=archive,
        maturity_ms=version.maturity_ms,
    )
    if again.rows_digest != rows_digest:
        raise DatasetReportError(
            f"the data set {version.digest} came out with other rows ({again.rows_digest}, not "
            f"{rows_digest}): the archive does not reach as far as it did, or code "
            f"{version.code_version} joined otherwise; `weir archive status` and "
            "`weir archive verify` tell"
        )
    return again


def _join(
    settings: Settings, scratch: Path, rows: pd.DataFrame, *, as_of_ms: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask Feast for batch features at each row's time, and for labels as known at one time."""
    store = open_store(settings, archive_url=str(scratch), registry=scratch / "registry.db")
    times = pd.to_datetime(rows["event_time_ms"], unit="ms", utc=True)
    asked = pd.DataFrame({"user_id": rows["user_id"], "_time": times})
    batch = join_in_time(store, asked, features=feature_refs(BATCH_NAMES), time="_time")
    # A user's first days have no snapshot behind them: no transactions is what that means.
    zeros = {BATCH_NAMES[0]: 0.0, BATCH_NAMES[2]: 0.0, BATCH_NAMES[3]: 0.0}
    values = batch[list(BATCH_NAMES)].astype("float64").fillna(zeros)
    values.index = pd.Index(rows["transaction_id"])
    known = pd.Timestamp(as_of_ms, unit="ms", tz="UTC")
    asked = pd.DataFrame({"transaction_id": rows["transaction_id"], "_time": known})
    refs = feature_refs(["is_fraud"], view=LABEL_VIEW)
    labels = join_in_time(store, asked, features=refs, time="_time")
    labels = labels[labels["is_fraud"].notna()]
    return values, labels[["transaction_id", "is_fraud"]].astype({"is_fraud": bool})


def _observed_ms(observations: pa.Table, as_of_ms: int) -> pd.Series[int]:
    """When the observation was made that counts at a time, by transaction."""
    table = observations.to_pandas()
    table = table[table["observed_time_ms"] <= as_of_ms]
    newest: pd.Series[int] = table.groupby("transaction_id")["observed_time_ms"].max()
    return newest
