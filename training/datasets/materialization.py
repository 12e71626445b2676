"""Updates the batch tables of the archive and writes the newest batch features to Redis.

Owns which snapshots are missing and in which order things are written. Feast writes the values to
Redis. Called by `weir materialize`, by `training.datasets.materializer`, and by
`operations.batch_features`, which has the snapshots computed on Flink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import TableNotFoundError
from redis import Redis
from redis.exceptions import RedisError

from features.batch import BATCH_AGE_MS_MAX, BATCH_VIEWS, LABEL_VIEW, BatchView
from features.definitions import DAY_MS
from features.online.layout import complete_key
from schemas.settings import Settings
from training.archive.delta_errors import delta_errors
from training.archive.feature_rows import archived_transactions
from training.archive.labels import archived_observations
from training.datasets.batch_tables import transaction_labels, user_snapshots
from training.datasets.feature_store import open_store
from training.errors import OnlineStoreUnreachableError

SNAPSHOTS_AT_ONCE: Final = 31
"""Snapshots that are computed and committed together; bounds the memory."""
_APPLICATION: Final = "weir-batch-tables"


@dataclass(frozen=True, slots=True)
class Materialized:
    """Result of a materialisation.

    Attributes:
        snapshot_ms: of the newest values in Redis, ms since 1970 UTC.
        users: how many users this snapshot has of the view `STATISTICS`.
        snapshots: how many snapshots were missing in the archive and were computed, of each view
            at most.
    """

    snapshot_ms: int
    users: int
    snapshots: int


class Computed(NamedTuple):
    """Snapshots of a view, which are appended together.

    Attributes:
        view: whose features.
        last_snapshot: day of the newest of them, since 1970.
        rows: as `training.datasets.batch_tables.user_snapshots` gives them.
    """

    view: BatchView
    last_snapshot: int
    rows: pa.Table


ComputeSnapshots: TypeAlias = Callable[
    [pa.Table, pd.DataFrame, Mapping[BatchView, Sequence[int]]], Iterable[Computed]
]
"""Computes snapshots from all transactions and observations.

It is given the missing days of each view that lacks some, and gives all of them, each view's in
order.
"""


def in_this_process(
    transactions: pa.Table, observations: pd.DataFrame, missing: Mapping[BatchView, Sequence[int]]
) -> Iterator[Computed]:
    """Compute snapshots in DuckDB, some at a time."""
    for view, days in missing.items():
        for start in range(0, len(days), SNAPSHOTS_AT_ONCE):
            some = days[start : start + SNAPSHOTS_AT_ONCE]
            rows = user_snapshots(transactions, observations, snapshots=some, view=view)
            yield Computed(view, some[-1], rows)


def materialize(
    settings: Settings, *, now_ms: int, compute: ComputeSnapshots = in_this_process
) -> Materialized:
    """Update the batch tables up to the last midnight, and write its values to Redis.

    Delivery: every snapshot is appended once. Values in Redis are absolute, so a repeat is
    harmless. The mark that the view is complete is written last: as long as it is missing or of
    an earlier snapshot, a user without values does not count as a user without history.

    Args:
        settings: where archive, registry and Redis are; paths are absolute.
        now_ms: the clock, ms since 1970 UTC.
        compute: computes the missing snapshots; may raise errors of its own.

    Raises:
        NoArchiveError: nothing has been archived yet.
        ArchiveConflictError: another process writes the batch tables.
        ArchiveUnreachableError: the storage failed.
        OnlineStoreUnreachableError: Redis did not take the values.
    """
    url = settings.archive_url
    transactions = archived_transactions(url)
    observations = archived_observations(url)
    last = now_ms // DAY_MS
    days = {
        view: _missing_snapshots(f"{url}/{view.name}", transactions, last) for view in BATCH_VIEWS
    }
    missing = {view: some for view, some in days.items() if some}
    for view, last_snapshot, rows in compute(transactions, observations, missing):
        _append(f"{url}/{view.name}", rows, last_snapshot=last_snapshot)
    with delta_errors(url):
        write_deltalake(f"{url}/{LABEL_VIEW}", transaction_labels(observations), mode="overwrite")
    store = open_store(
        settings, archive_url=url, registry=settings.data_dir / "feast" / "registry.db"
    )
    midnight = datetime.fromtimestamp(last * DAY_MS / 1_000, UTC)
    users = [_count_users(f"{url}/{view.name}", midnight) for view in BATCH_VIEWS]
    with _redis_errors(settings.redis_url), redirect_stdout(None):
        filled = [v.name for v, count in zip(BATCH_VIEWS, users, strict=True) if count is not None]
        if filled:
            # All snapshots that are not too old, because a data set joins them, too: a user who
            # is not in the last one keeps the values of the one before.
            oldest = midnight - timedelta(milliseconds=BATCH_AGE_MS_MAX)
            store.materialize(oldest, midnight, feature_views=filled)
        _mark_complete(settings, last * DAY_MS)
    snapshots = max(map(len, days.values()))
    return Materialized(snapshot_ms=last * DAY_MS, users=users[0] or 0, snapshots=snapshots)


def _missing_snapshots(url: str, transactions: pa.Table, last: int) -> list[int]:
    """Days from the first transaction up to ``last`` whose snapshot is not in the table."""
    if not len(transactions):
        return []
    first = pc.min(transactions["event_time_ms"]).as_py() // DAY_MS + 1
    try:
        known = DeltaTable(url).transaction_version(_APPLICATION)
    except TableNotFoundError:
        known = None
    return list(range(first if known is None else known + 1, last + 1))


def _append(url: str, rows: pa.Table, *, last_snapshot: int) -> None:
    with delta_errors(url):
        write_deltalake(
            url,
            rows,
            mode="append",
            commit_properties=CommitProperties(
                max_commit_retries=1,
                app_transactions=[Transaction(app_id=_APPLICATION, version=last_snapshot)],
            ),
        )


def _count_users(url: str, midnight: datetime) -> int | None:
    """Count the users of a snapshot; None if there is no table, so no snapshot had a user."""
    try:
        table = DeltaTable(url).to_pyarrow_dataset()
    except TableNotFoundError:
        return None
    return int(table.count_rows(filter=pc.field("event_time") == pa.scalar(midnight)))


def _mark_complete(settings: Settings, snapshot_ms: int) -> None:
    with Redis.from_url(settings.redis_url) as client:
        for view in BATCH_VIEWS:
            client.set(complete_key(settings.feast_project, view), snapshot_ms)


@contextmanager
def _redis_errors(redis_url: str) -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise OnlineStoreUnreachableError(
            f"Redis at {redis_url} did not take the batch features: {error!r:.200}; the earlier "
            "ones stay until they are too old"
        ) from error
