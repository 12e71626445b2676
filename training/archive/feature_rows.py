"""The feature rows of the archive: the table of `training.datasets.read_log.feature_table`.

Owns which rows count: the first row of each transaction (`schemas.first_row`), of the definitions
of this code. If the row in the log has other definitions, the row that a backfill computed replaces
it. Called by the data sets, training, parity and the batch features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas.errors import shown_time
from schemas.topics import FEATURES
from training.archive.first_rows import ORDERING_COLUMNS, is_first_row
from training.archive.scan import IS_PRESENT, LOG_OFFSET, LOG_ORDER, scan, scan_backfilled
from training.archive.tables import BACKFILLED, TRANSACTION_COLUMNS
from training.archive.version import ArchiveVersion
from training.errors import NoFeatureRowsError


class FeatureRows(NamedTuple):
    """The feature rows of a range of event time.

    Attributes:
        table: one row a transaction, columns as `training.datasets.read_log.feature_table` gives
            them.
        repeats: rows in the range that are left out, because their transaction has an earlier one.
    """

    table: pd.DataFrame
    repeats: int


def archived_feature_rows(
    url: str,
    *,
    first_ms: int | None = None,
    end_ms: int | None = None,
    version: ArchiveVersion | None = None,
) -> pd.DataFrame:
    """Read the table of `read_range`, without the number of repeats."""
    return read_range(url, first_ms=first_ms, end_ms=end_ms, version=version).table


def read_range(
    url: str,
    *,
    first_ms: int | None = None,
    end_ms: int | None = None,
    version: ArchiveVersion | None = None,
) -> FeatureRows:
    """Read the feature rows of a range of event time.

    Args:
        url: of the archive.
        first_ms: earliest event time, included, ms since 1970 UTC; None: no limit.
        end_ms: end of the range, excluded, ms since 1970 UTC; None: no limit.
        version: leave out what was archived later than this; None: read everything.

    Raises:
        NoArchiveError: nothing has been archived yet.
        ArchiveUnreachableError: the storage failed.
        NoFeatureRowsError: the range has no row of the definitions of this code.
    """
    columns = [*TRANSACTION_COLUMNS, *FEATURE_NAMES, *LOG_OFFSET]
    rows = _present_rows(url, [*columns, *ORDERING_COLUMNS], version=version).to_pandas()
    # The range is applied last: a repeat may have another event time than the first row.
    is_repeat = ~is_first_row(rows)
    rows = rows[columns]
    is_inside = rows["event_time_ms"].between(
        -(2**63) if first_ms is None else first_ms,
        2**63 - 1 if end_ms is None else end_ms - 1,
    )
    table = rows[is_inside & ~is_repeat].reset_index(drop=True)
    if table.empty:
        first = "the beginning" if first_ms is None else shown_time(first_ms)
        end = "the end" if end_ms is None else shown_time(end_ms)
        raise NoFeatureRowsError(
            f"the archive at {url} holds {(~is_repeat).sum()} feature rows of the definitions "
            f"{DEFINITION_DIGEST}, none of them from {first} up to {end}; see how far it "
            "reaches with `weir archive status`, and name older days, or a time to look from, "
            "with --as-of"
        )
    types = {"log_partition": "int64", **dict.fromkeys(FEATURE_NAMES, "float64")}
    return FeatureRows(table.astype(types), int((is_inside & is_repeat).sum()))


def archived_transactions(url: str, *, version: ArchiveVersion | None = None) -> pa.Table:
    """Read the first row of each transaction (`schemas.first_row`), of any definitions.

    Args:
        url: of the archive.
        version: leave out what was archived later than this; None: read everything.

    Returns:
        ``transaction_id``, ``user_id``, ``amount_minor``, ``event_time_ms``, in log order.

    Raises:
        NoArchiveError: nothing has been archived yet.
        ArchiveUnreachableError: the storage failed.
    """
    columns = ["transaction_id", "user_id", "amount_minor", "event_time_ms"]
    until = None if version is None else version.next_offsets[FEATURES]
    rows = scan(url, FEATURES, [*columns, *LOG_OFFSET, *ORDERING_COLUMNS], until=until)
    identity = rows.select(["transaction_id", *LOG_OFFSET, *ORDERING_COLUMNS]).to_pandas()
    return rows.select(columns).filter(pa.array(is_first_row(identity)))


def _present_rows(url: str, columns: Sequence[str], *, version: ArchiveVersion | None) -> pa.Table:
    """Read all rows of the present definitions, logged or backfilled, in the order of the log."""
    until = None if version is None else version.next_offsets[FEATURES]
    logged = scan(url, FEATURES, columns, until=until, where=IS_PRESENT)
    if version is not None and BACKFILLED not in version.next_offsets:
        return logged
    until = None if version is None else version.next_offsets[BACKFILLED]
    backfilled = scan_backfilled(url, columns, until=until)
    if backfilled is None or not len(backfilled):
        return logged
    return pa.concat_tables([logged, backfilled.cast(logged.schema)]).sort_by(LOG_ORDER)
