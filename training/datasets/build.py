"""Builds a data set from the archive: feature rows joined in time with labels and batch features.

Owns the promise that the same version gives the same bytes. Asks no server. Called by
`weir dataset`, and through `training.datasets.selection` by `weir train`.
"""

from __future__ import annotations

from features.batch import BATCH_NAMES
from features.definitions import DAY_MS, DEFINITION_DIGEST
from schemas.errors import shown_time
from schemas.settings import Settings
from training.archive.feature_rows import archived_transactions, read_range
from training.archive.labels import archived_observations, latest_as_of
from training.archive.version import ArchiveVersion, archive_version
from training.datasets.batch_join import join_batch_features
from training.datasets.batch_tables import user_snapshots
from training.datasets.dataset import COLUMNS, Dataset
from training.datasets.labelled_rows import (
    MATURITY_MS,
    check_null_share,
    join_labels,
)
from training.datasets.lineage import code_version
from training.datasets.split import SplitKind
from training.datasets.split_checks import check_split
from training.datasets.version import DatasetVersion
from training.errors import EmptyRangeError


def build_dataset(
    settings: Settings,
    *,
    first_ms: int,
    end_ms: int,
    as_of_ms: int,
    archive: ArchiveVersion | None = None,
    maturity_ms: int = MATURITY_MS,
    split: SplitKind | None = None,
) -> Dataset:
    """Build the data set of a range of event time.

    Labels count as of the time at which the last row of the range is mature, or as of `as_of_ms`
    if that is earlier. Batch features are computed here, from the same version
    of the archive; the snapshots that `weir materialize` stored are not used.

    Args:
        settings: where the archive is.
        first_ms: earliest event time, included, ms since 1970 UTC.
        end_ms: end of the range, excluded, ms since 1970 UTC.
        as_of_ms: the clock, or an earlier time, ms since 1970 UTC; what happened or was observed
            later is not known.
        archive: how much of the archive to read; None: all of it.
        maturity_ms: age, ms, from which on a row is included.
        split: how to divide it into train, validation and test rows; None: it is one table.

    Raises:
        EmptyRangeError: the end is not after the beginning.
        NoArchiveError: feature rows or labels have not been archived.
        ArchiveUnreachableError: the storage failed.
        NoFeatureRowsError: the range has no rows, or no mature ones.
        OneClassError: all rows have the same label, or all rows of a part.
        NullShareError: a column has too many nulls, or a column of a part.
        FutureFeaturesError: a row's event time is after the observation of its label.
        DuplicateRowsError: two parts have rows in common.
    """
    if end_ms <= first_ms:
        raise EmptyRangeError(
            f"the range ends at {shown_time(end_ms)}, which is not after its beginning at "
            f"{shown_time(first_ms)}; give a later end"
        )
    url = settings.archive_url
    archive = archive or archive_version(url)
    rows, repeats = read_range(url, first_ms=first_ms, end_ms=end_ms, version=archive)
    observations = archived_observations(url, version=archive)
    transactions = archived_transactions(url, version=archive)
    as_of_ms = min(end_ms - 1 + maturity_ms, as_of_ms)
    labels = latest_as_of(observations, as_of_ms)
    table = join_labels(rows, labels, maturity_ms=maturity_ms, as_of_ms=as_of_ms)
    days = range(first_ms // DAY_MS, (end_ms - 1) // DAY_MS + 1)
    snapshots = user_snapshots(transactions, observations, snapshots=days)
    table = join_batch_features(table, snapshots)
    # A user without history has no mean; a null is an error only for users with history.
    check_null_share(table[table[BATCH_NAMES[0]] > 0])
    dataset = Dataset(
        table=table[list(COLUMNS)],
        version=DatasetVersion(
            archive=archive.to_json(),
            first_ms=first_ms,
            end_ms=end_ms,
            as_of_ms=as_of_ms,
            maturity_ms=maturity_ms,
            definition_digest=DEFINITION_DIGEST,
            code_version=code_version(),
            split=split,
        ),
        repeats=repeats,
        immature=len(rows) - len(table),
    )
    if split is not None and dataset.split is not None:
        check_split(dataset.split, split)
    return dataset
