"""The Feast adapter: applies the views, derives their batch tables, fills Redis, joins in time.

Called by `weir materialize`, by the materializer of the stack, and by the data sets.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import TableNotFoundError

# Feast asks nobody, but its libraries may.
os.environ.setdefault("FEAST_USAGE", "False")
from feast import FeatureStore, RepoConfig
from redis import Redis
from redis.exceptions import RedisError

from features.batch import BATCH_AGE_MS_MAX, BATCH_VIEW, LABEL_VIEW
from features.definitions import DAY_MS
from features.feast_repo.offline_store import TYPE as OFFLINE_STORE
from features.feast_repo.views import feature_objects
from features.online.layout import complete_key
from schemas.settings import Settings
from training.archive.read import archived_observations, archived_transactions
from training.archive.store import mapped
from training.datasets.batch_tables import transaction_labels, user_statistics
from training.errors import OnlineStoreUnreachableError, RowCountError

SLICE_ROWS: Final = 100_000
"""Entity rows asked for at once. Measured by others at 814,000 at once: 10.6 GB."""
SNAPSHOTS_AT_ONCE: Final = 31
_APPLICATION: Final = "weir-batch-tables"


@dataclass(frozen=True, slots=True)
class Materialized:
    """What a materialisation did.

    Attributes:
        snapshot_ms: of the values that are online now, ms since 1970 UTC.
        users: who have values of that snapshot.
        snapshots: how many were missing in the archive and were computed.
    """

    snapshot_ms: int
    users: int
    snapshots: int


def open_store(settings: Settings, *, archive_url: str, registry: Path) -> FeatureStore:
    """Open Feast on a registry file; nothing is asked of a server.

    Args:
        settings: project and Redis.
        archive_url: where the batch tables are, an absolute path or an object store's address.
        registry: the file; made when it is not there.
    """
    registry.parent.mkdir(parents=True, exist_ok=True)
    address = urlsplit(settings.redis_url)
    database = address.path.strip("/") or "0"
    config = RepoConfig(
        project=settings.feast_project,
        provider="local",
        registry=str(registry),
        online_store={
            "type": "redis",
            "connection_string": f"{address.hostname}:{address.port},db={database}",
        },
        offline_store={"type": OFFLINE_STORE},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    with warnings.catch_warnings(), redirect_stdout(None):
        # On-demand views are called experimental there; one of ours is known by its test.
        warnings.simplefilter("ignore", RuntimeWarning)
        store.apply(feature_objects(archive_url))
    return store


def materialize(settings: Settings, *, now_ms: int) -> Materialized:
    """Bring the batch tables up to the last midnight, and its values into Redis.

    Delivery: the table of snapshots takes each once; values in Redis are absolute, so doing it
    again is harmless. The mark that the view is complete comes last: while it is missing or of an
    earlier snapshot, a user without values is not taken for one without history.

    Args:
        settings: where archive, registry and Redis are; paths absolute.
        now_ms: the clock, ms since 1970 UTC.

    Raises:
        NoArchiveError: nothing has been archived yet.
        OnlineStoreUnreachableError: Redis did not take the values.
    """
    url = settings.archive_url
    transactions = archived_transactions(url)
    observations = archived_observations(url)
    last = now_ms // DAY_MS
    missing = _missing_snapshots(url, transactions, last)
    for start in range(0, len(missing), SNAPSHOTS_AT_ONCE):
        some = missing[start : start + SNAPSHOTS_AT_ONCE]
        rows = user_statistics(transactions, observations, snapshots=some)
        _append(f"{url}/{BATCH_VIEW}", rows, last_snapshot=some[-1])
    with mapped(url):
        write_deltalake(f"{url}/{LABEL_VIEW}", transaction_labels(observations), mode="overwrite")
    store = open_store(
        settings, archive_url=url, registry=settings.data_dir / "feast" / "registry.db"
    )
    midnight = datetime.fromtimestamp(last * DAY_MS / 1_000, UTC)
    users = _users_of(url, midnight)
    with _mapped(settings.redis_url), redirect_stdout(None):
        if users is not None:
            # All snapshots that may count, as in a data set: the newest one of each user is put
            # online, also of a user who is in none of the last day's.
            oldest = midnight - timedelta(milliseconds=BATCH_AGE_MS_MAX)
            store.materialize(oldest, midnight, feature_views=[BATCH_VIEW])
        _mark_complete(settings, last * DAY_MS)
    return Materialized(snapshot_ms=last * DAY_MS, users=users or 0, snapshots=len(missing))


def _users_of(url: str, midnight: datetime) -> int | None:
    """Count the users of a snapshot; None where there is no table, as nobody was in any."""
    try:
        table = DeltaTable(f"{url}/{BATCH_VIEW}").to_pyarrow_dataset()
    except TableNotFoundError:
        return None
    return int(table.count_rows(filter=pc.field("event_time") == pa.scalar(midnight)))


def _mark_complete(settings: Settings, snapshot_ms: int) -> None:
    with Redis.from_url(settings.redis_url) as client:
        client.set(complete_key(settings.feast_project), snapshot_ms)


def join_in_time(
    store: FeatureStore, entities: pd.DataFrame, *, features: Sequence[str], time: str
) -> pd.DataFrame:
    """Ask Feast for features as of each row's time, slice by slice, and count what comes back.

    Args:
        store: with the views applied.
        entities: the join keys and a time (UTC) in column ``time``; other columns stay.
        features: ``view:feature`` each.
        time: the column of the time; no other may hold timestamps.

    Returns:
        The rows in their order, with one more column a feature.

    Raises:
        RowCountError: Feast gave back more or fewer rows than it was asked for.
    """
    numbered = entities.assign(_row=range(len(entities)))
    parts = []
    for start in range(0, len(numbered), SLICE_ROWS):
        part = numbered.iloc[start : start + SLICE_ROWS]
        asked = part.rename(columns={time: "event_timestamp"})
        answer = store.get_historical_features(entity_df=asked, features=list(features)).to_df()
        if len(answer) != len(part) or answer["_row"].nunique() != len(part):
            raise RowCountError(
                f"Feast gave {len(answer)} rows for {len(part)} ({', '.join(features)}); the "
                "batch table has two rows of one key and time"
            )
        parts.append(answer)
    joined = pd.concat(parts).sort_values("_row", kind="stable").reset_index(drop=True)
    return joined.drop(columns="_row").rename(columns={"event_timestamp": time})


def _missing_snapshots(url: str, transactions: pa.Table, last: int) -> list[int]:
    """Days whose snapshot is not in the table, from the first transaction on, up to ``last``."""
    if not len(transactions):
        return []
    first = pc.min(transactions["event_time_ms"]).as_py() // DAY_MS + 1
    try:
        known = DeltaTable(f"{url}/{BATCH_VIEW}").transaction_version(_APPLICATION)
    except TableNotFoundError:
        known = None
    return list(range(first if known is None else known + 1, last + 1))


def _append(url: str, rows: pa.Table, *, last_snapshot: int) -> None:
    with mapped(url):
        write_deltalake(
            url,
            rows,
            mode="append",
            commit_properties=CommitProperties(
                max_commit_retries=1,
                app_transactions=[Transaction(app_id=_APPLICATION, version=last_snapshot)],
            ),
        )


@contextmanager
def _mapped(redis_url: str) -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise OnlineStoreUnreachableError(
            f"Redis at {redis_url} did not take the batch features: {error!r:.200}; what was "
            "there before stays until it is too old"
        ) from error


def feature_refs(names: Sequence[str], *, view: str = BATCH_VIEW) -> list[str]:
    """Name features as Feast wants them."""
    return [f"{view}:{name}" for name in names]


def online_values(store: FeatureStore, refs: Sequence[str], user_ids: Sequence[str]) -> Any:
    """Read features online by Feast's own client: for people and checks, not for the hot path."""
    rows = [{"user_id": user_id} for user_id in user_ids]
    answer = store.get_online_features(features=list(refs), entity_rows=rows)
    return answer.to_dict(include_event_timestamps=True)
