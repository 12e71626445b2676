"""Builds the data set of a model of users: each active user at each midnight, with its label.

The same rules as online and in batch scoring: velocity of the user's newest transaction before the
midnight, batch features of the newest snapshot, whole days between the two. Owns the promise that
the same version gives the same bytes. Asks no server. Called by the training run.
"""

from __future__ import annotations

from typing import Final

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.batch import BatchView
from features.definitions import DAY_MS, DEFINITION_DIGEST
from features.user_inputs import DAYS_IDLE, VELOCITY_NAMES
from models.definition import Label, ModelDefinition
from models.errors import ModelDefinitionError
from schemas.errors import shown_time
from schemas.settings import Settings
from training.archive.feature_rows import archived_transactions, read_range
from training.archive.labels import archived_observations
from training.archive.version import ArchiveVersion, archive_version
from training.datasets.batch_join import join_batch_features
from training.datasets.batch_tables import user_snapshots
from training.datasets.dataset import Dataset
from training.datasets.labelled_rows import check_null_share
from training.datasets.lineage import code_version
from training.datasets.version import DatasetVersion
from training.errors import EmptyRangeError, NoFeatureRowsError, OneClassError

LABEL_COLUMN: Final = "is_fraud"
"""The name that fitting and its figures have for the class that is looked for."""
_SNAPSHOT_DAYS_BEFORE: Final = 2
"""A midnight may see the snapshots of two earlier days (`features.batch.BATCH_AGE_MS_MAX`)."""


def build_user_dataset(
    settings: Settings,
    definition: ModelDefinition,
    *,
    first_ms: int,
    end_ms: int,
    as_of_ms: int,
    archive: ArchiveVersion | None = None,
) -> Dataset:
    """Build the data set of a range of midnights.

    ::

        a row     features                      midnight            label
        ─────────[─────────────────────────────)[──────────────────────────────)──▶ event time
                  active_ms                      horizon_ms

    Rows whose horizon is not over are left out, and counted as immature.

    Args:
        settings: where the archive is.
        definition: of the model; it has a label.
        first_ms: first midnight, included, ms since 1970 UTC; rounded up to one.
        end_ms: end of the range, excluded, ms since 1970 UTC.
        as_of_ms: the clock, or an earlier time, ms since 1970 UTC; the newest archived transaction
            counts instead if it is earlier.
        archive: how much of the archive to read; None: all of it.

    Returns:
        ``user_id``, ``event_time_ms`` (the midnight), the columns of the definition, and the label
        as `LABEL_COLUMN`; ordered by midnight and user.

    Raises:
        ModelDefinitionError: the model has no label, or its SQL is wrong.
        EmptyRangeError: the range has no midnight.
        NoArchiveError, ArchiveUnreachableError: there is no archive, or it does not answer.
        NoFeatureRowsError: no user was active, or no horizon is over.
        OneClassError: all rows have the same label.
        NullShareError: a column has too many nulls.
    """
    label = definition.label
    if label is None:
        raise ModelDefinitionError(f"model {definition.name} has no label, so it is not trained")
    midnights = np.arange(-(-first_ms // DAY_MS) * DAY_MS, end_ms, DAY_MS)
    if not len(midnights):
        raise EmptyRangeError(
            f"no midnight is from {shown_time(first_ms)} up to {shown_time(end_ms)}; give a later "
            "end"
        )
    url = settings.archive_url
    archive = archive or archive_version(url)
    transactions = archived_transactions(url, version=archive)
    newest_ms = pc.max(transactions["event_time_ms"]).as_py() if len(transactions) else 0
    known_ms = min(as_of_ms, newest_ms)
    mature = midnights[midnights + label.horizon_ms <= known_ms]
    if not len(mature):
        raise NoFeatureRowsError(
            f"the label of model {definition.name} is known {label.horizon_ms / DAY_MS:g} days "
            f"after a row, and the archive reaches to {shown_time(known_ms)}: the first midnight, "
            f"{shown_time(int(midnights[0]))}, is too late; name earlier days"
        )
    rows, repeats = read_range(
        url, first_ms=int(mature[0]) - definition.active_ms, end_ms=int(mature[-1]), version=archive
    )
    table = rows_at_midnights(rows, mature, active_ms=definition.active_ms)
    view = definition.batch_view
    if view is not None:
        table = _with_batch_features(table, transactions, url, archive, view)
    table = _labelled(table, transactions, label, definition.name)
    _check(table, definition)
    version = DatasetVersion(
        archive=archive.to_json(),
        first_ms=first_ms,
        end_ms=end_ms,
        as_of_ms=known_ms,
        maturity_ms=label.horizon_ms,
        definition_digest=DEFINITION_DIGEST,
        code_version=code_version(),
        model_digest=definition.data_digest,
    )
    columns = ["user_id", "event_time_ms", *definition.columns, LABEL_COLUMN]
    return Dataset(table[columns], version, repeats, immature=len(midnights) - len(mature))


def rows_at_midnights(rows: pd.DataFrame, midnights: np.ndarray, *, active_ms: int) -> pd.DataFrame:
    """Give each user that was active at each midnight, with its newest row before.

    Args:
        rows: feature rows, as `training.archive.feature_rows.read_range` gives them.
        midnights: ms since 1970 UTC, in order.
        active_ms: a user without a row within so long before is left out, ms.

    Returns:
        ``user_id``, ``event_time_ms`` (the midnight), velocity and `DAYS_IDLE`, ordered by
        midnight and user.
    """
    # Of rows of one time the last one of the log counts, as in batch scoring.
    known = rows.sort_values(["event_time_ms", "log_partition", "log_offset"], kind="stable")
    known = known[["user_id", "event_time_ms", *VELOCITY_NAMES]].rename(
        columns={"event_time_ms": "newest_ms"}
    )
    users = np.sort(known["user_id"].unique())
    asked = pd.DataFrame(
        {
            "user_id": np.tile(users, len(midnights)),
            "event_time_ms": np.repeat(midnights, len(users)).astype(np.int64),
        }
    )
    found = pd.merge_asof(
        asked,
        known,
        left_on="event_time_ms",
        right_on="newest_ms",
        by="user_id",
        tolerance=active_ms,
        allow_exact_matches=False,
    )
    found = found[found["newest_ms"].notna()].reset_index(drop=True)
    idle = found["event_time_ms"] // DAY_MS - found["newest_ms"].astype(np.int64) // DAY_MS
    return found.drop(columns="newest_ms").assign(**{DAYS_IDLE: idle})


def _with_batch_features(
    table: pd.DataFrame,
    transactions: pa.Table,
    url: str,
    archive: ArchiveVersion,
    view: BatchView,
) -> pd.DataFrame:
    midnights_ms = table["event_time_ms"]
    first, last = int(midnights_ms.min()) // DAY_MS, int(midnights_ms.max()) // DAY_MS
    days = range(first - _SNAPSHOT_DAYS_BEFORE, last + 1)
    observations = archived_observations(url, version=archive)
    snapshots = user_snapshots(transactions, observations, snapshots=days, view=view)
    return join_batch_features(table, snapshots, view=view)


def _labelled(table: pd.DataFrame, transactions: pa.Table, label: Label, name: str) -> pd.DataFrame:
    points = pa.Table.from_pandas(table[["user_id", "event_time_ms"]], preserve_index=False)
    query = f"""
SELECT user_id, midnight_ms, ({label.sql})::BOOLEAN AS label
FROM (
    SELECT p.user_id, p.event_time_ms AS midnight_ms,
        t.transaction_id, t.event_time_ms, t.amount_minor
    FROM points p LEFT JOIN transactions t ON t.user_id = p.user_id
        AND t.event_time_ms >= p.event_time_ms
        AND t.event_time_ms < p.event_time_ms + {label.horizon_ms}
)
GROUP BY ALL ORDER BY midnight_ms, user_id
"""  # noqa: S608 - the label is code of the deployment, as its definition is
    with duckdb.connect() as database:
        database.register("points", points)
        database.register("transactions", transactions)
        try:
            found = database.sql(query).df()
        except duckdb.Error as error:
            raise ModelDefinitionError(
                f"the label of model {name}, {label.sql!r:.200}, is no aggregate over transactions "
                f"that gives true or false: {error!s:.300}"
            ) from error
    if len(found) != len(table) or found["label"].isna().any():
        raise ModelDefinitionError(
            f"the label of model {name}, {label.sql!r:.200}, must be one true or false for each "
            "user, also for one without transactions"
        )
    ordered = table.sort_values(["event_time_ms", "user_id"], kind="stable").reset_index(drop=True)
    return ordered.assign(**{LABEL_COLUMN: found["label"].astype(bool).to_numpy()})


def _check(table: pd.DataFrame, definition: ModelDefinition) -> None:
    positives = int(table[LABEL_COLUMN].sum())
    if positives in (0, len(table)):
        raise OneClassError(
            f"the label of model {definition.name} is true for {positives} of {len(table)} rows, "
            "both kinds are needed; name other days"
        )
    view = definition.batch_view
    has_history = table if view is None else table[table[view.names[0]] > 0]
    check_null_share(has_history[list(definition.columns)])
