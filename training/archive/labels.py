"""The labels of the archive, and the rule which of a transaction's observations counts: the latest.

The rule is written here only, for tables. Reports of one transaction may contradict each other, so
every observation has an interval of time in which it is the latest one::

    fraud       [-------------)
    legitimate                [-------)
    fraud                             [--------------> no later observation
                observed      observed observed

Called by the data sets, the batch features, training and `training.datasets.read_log`.
"""

from __future__ import annotations

from typing import Final

import pandas as pd

from schemas.topics import LABELS
from training.archive.scan import scan
from training.archive.tables import LABEL_COLUMNS
from training.archive.version import ArchiveVersion

NEVER_MS: Final = 2**63 - 1
"""``until_ms`` of an observation that no later one replaces."""


def with_intervals(observations: pd.DataFrame) -> pd.DataFrame:
    """Say of each observation until when it is the latest one of its transaction.

    Of equal times the later arrival counts. The earlier one is never the latest, and is left out.

    Args:
        observations: in the order of the log; ``transaction_id`` and ``observed_time_ms``.

    Returns:
        The observations and ``until_ms`` (int64): the time of the transaction's next observation,
        ms since 1970 UTC, or `NEVER_MS`. Ordered by ``observed_time_ms``; ties keep the order of
        the log.
    """
    # Stable: of equal times the last one is the later arrival.
    ordered = observations.sort_values("observed_time_ms", kind="stable")
    following = ordered.groupby("transaction_id", sort=False)["observed_time_ms"]
    ordered["until_ms"] = following.shift(-1, fill_value=NEVER_MS).astype("int64")
    return ordered[ordered["until_ms"] > ordered["observed_time_ms"]].reset_index(drop=True)


def latest_as_of(observations: pd.DataFrame, time_ms: int | None) -> pd.DataFrame:
    """Give the latest observation of each transaction as of a time.

    Args:
        observations: as `with_intervals` gives them.
        time_ms: what was observed later is left out, ms since 1970 UTC; None: nothing is.

    Returns:
        One row a transaction, without ``until_ms``, in the order of the observations.
    """
    if time_ms is None:
        is_latest = observations["until_ms"] == NEVER_MS
    else:
        is_latest = (observations["observed_time_ms"] <= time_ms) & (
            observations["until_ms"] > time_ms
        )
    return observations[is_latest].drop(columns="until_ms").reset_index(drop=True)


def archived_observations(url: str, *, version: ArchiveVersion | None = None) -> pd.DataFrame:
    """Read every observation with the interval in which it is the latest of its transaction.

    Args:
        url: of the archive.
        version: leave out what was archived later than this; None: read everything.

    Returns:
        `LABEL_COLUMNS` and ``until_ms``, see `with_intervals`.

    Raises:
        NoArchiveError: nothing has been archived yet.
        ArchiveUnreachableError: the storage failed.
    """
    until = None if version is None else version.next_offsets[LABELS]
    table = scan(url, LABELS, LABEL_COLUMNS, until=until).to_pandas()
    # An empty table has no types of its own in pandas.
    types = {"observed_time_ms": "int64", "is_fraud": bool, "log_partition": "int64"}
    return with_intervals(table.astype(types))


def archived_labels(
    url: str, *, as_of_ms: int | None = None, version: ArchiveVersion | None = None
) -> pd.DataFrame:
    """Read the latest observation of each transaction, as `read_log.label_table` gives them.

    Args:
        url: of the archive.
        as_of_ms: leave out what was observed later, ms since 1970 UTC; None: read everything.
        version: leave out what was archived later than this; None: read everything.

    Raises:
        NoArchiveError: nothing has been archived yet.
        ArchiveUnreachableError: the storage failed.
    """
    return latest_as_of(archived_observations(url, version=version), as_of_ms)
