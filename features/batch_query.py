"""The query that computes the snapshots of a view: one text, which DuckDB and Flink run alike.

Standard SQL only, so that both give the same values to the last bit. Runs nothing. Called by
`training.datasets.batch_tables`, which runs it in its own process, and by
`operations.batch_features`, which has Flink run it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from features.batch import BatchView
from features.definitions import DAY_MS, Aggregate, Quantity

_SQL_OF: Final[Mapping[tuple[Quantity, Aggregate], str]] = {
    ("transaction", "count"): "spent.n",
    ("amount", "sum"): "spent.amount",
    ("amount", "mean"): "CAST(spent.amount AS DOUBLE) / spent.n",
    ("fraud", "count"): "COALESCE(reported.frauds, 0)",
    ("fraud", "rate"): "CAST(COALESCE(reported.frauds, 0) AS DOUBLE) / spent.n",
}

TRANSACTION_TYPES: Final = {
    "transaction_id": "STRING",
    "user_id": "STRING",
    "amount_minor": "BIGINT",
    "event_time_ms": "BIGINT",
}
"""Columns of the table ``transactions``, which has one row for each transaction."""

OBSERVATION_TYPES: Final = {
    "transaction_id": "STRING",
    "observed_time_ms": "BIGINT",
    "until_ms": "BIGINT",
    "is_fraud": "BOOLEAN",
}
"""Columns of the table ``observations``: labels, and until when each was the latest one."""

MIDNIGHT_TYPES: Final = {"snapshot_ms": "BIGINT"}
"""The column of the table of midnights: when the snapshots are taken, ms since 1970 UTC."""


def needs_observations(view: BatchView) -> bool:
    """Whether the query of a view reads the table ``observations``."""
    return any(feature.quantity == "fraud" for feature in view.features)


def snapshot_types(view: BatchView) -> dict[str, str]:
    """Give the columns of the answer, in order, with their types."""
    types = {f.name: "DOUBLE" if f.value_type == "double" else "BIGINT" for f in view.features}
    return {"snapshot_ms": "BIGINT", "user_id": "STRING", **types}


def snapshot_query(view: BatchView, *, midnights: str = "midnights") -> str:
    """Give the query of a view's snapshots; the rows come in any order.

    Args:
        view: whose features.
        midnights: the name of the table of midnights.

    Examples:
        >>> from features.batch import ACTIVITY
        >>> "observations" in snapshot_query(ACTIVITY)
        False
    """
    is_inside = f"day_ms >= snapshot_ms - {view.window_ms} AND day_ms < snapshot_ms"
    values = ", ".join(
        f"{_SQL_OF[feature.quantity, feature.aggregate]} AS {feature.name}"
        for feature in view.features
    )
    needs_frauds = needs_observations(view)
    # Days are added up first, so that the join with the midnights has few rows.
    return f"""
WITH days AS (
    SELECT user_id, event_time_ms - MOD(event_time_ms, {DAY_MS}) AS day_ms, amount_minor
    FROM transactions
),
daily AS (
    SELECT user_id, day_ms, COUNT(*) AS n, SUM(amount_minor) AS amount
    FROM days GROUP BY user_id, day_ms
),
spent AS (
    SELECT user_id, snapshot_ms, CAST(SUM(n) AS BIGINT) AS n, CAST(SUM(amount) AS BIGINT) AS amount
    FROM daily JOIN {midnights} ON {is_inside}
    GROUP BY user_id, snapshot_ms
){_reported(midnights, is_inside) if needs_frauds else ""}
SELECT spent.snapshot_ms, spent.user_id, {values}
FROM spent {_WITH_REPORTED if needs_frauds else ""}
"""  # noqa: S608 - numbers and names of ours


_WITH_REPORTED: Final = """
LEFT JOIN reported ON spent.user_id = reported.user_id AND spent.snapshot_ms = reported.snapshot_ms
"""


def _reported(midnights: str, is_inside: str) -> str:
    return f""",
frauds AS (
    SELECT t.user_id, t.event_time_ms - MOD(t.event_time_ms, {DAY_MS}) AS day_ms,
        o.observed_time_ms, o.until_ms
    FROM observations AS o JOIN transactions AS t ON o.transaction_id = t.transaction_id
    WHERE o.is_fraud
),
reported AS (
    SELECT user_id, snapshot_ms, COUNT(*) AS frauds
    FROM frauds JOIN {midnights} ON {is_inside}
        AND observed_time_ms < snapshot_ms AND until_ms >= snapshot_ms
    GROUP BY user_id, snapshot_ms
)"""  # noqa: S608 - numbers and names of ours
