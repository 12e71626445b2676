"""From feature rows and labels to a data set: what counts, what is refused.

Pure: the log's own newest time is the clock. A report of fraud needs time to come in, so no
transaction younger than the maturity counts: neither as legitimate, nor as fraud, since the young
ones that are reported already are no fair sample of the young.
"""

from __future__ import annotations

import pandas as pd

from training.errors import (
    FutureFeaturesError,
    NoFeatureRowsError,
    NullShareError,
    OneClassError,
)

MATURITY_MS = 7 * 24 * 60 * 60 * 1000
"""How old a transaction must be, ms, for "no label" to mean "legitimate": the delay of the
merchant features, for the same reason."""
NULL_SHARE_MAX = 0.1
"""The largest share of a column's rows that may have no value."""


def join_labels(
    rows: pd.DataFrame,
    labels: pd.DataFrame,
    *,
    maturity_ms: int = MATURITY_MS,
    keep_immature: bool = False,
    as_of_ms: int | None = None,
) -> pd.DataFrame:
    """Say of each row whether it is fraud, by the latest observation known at the read.

    ::

        age of the row        maturity                        0 (the log's newest time)
        with a label     its label   ]      left out (or kept, if asked for)
        without          legitimate  ]      left out (or kept as legitimate)

    Args:
        rows: as `training.datasets.read_log.feature_table` makes them.
        labels: as `training.datasets.read_log.label_table` makes them.
        maturity_ms: age, ms, from which on a row counts; without a label it is legitimate.
        keep_immature: keep younger rows, too, as legitimate unless reported; for a demo, whose
            whole history is young. Such rows are partly wrong.
        as_of_ms: the time to count ages from, ms since 1970 UTC; None: the newest in the tables.

    Returns:
        The rows that count, with ``is_fraud`` (bool), ordered by event time; ties keep the
        order of the log.

    Raises:
        NoFeatureRowsError: no row counts.
        OneClassError: all rows that count have one label.
        NullShareError: a column has too many rows without a value.
        FutureFeaturesError: features are of a time after the label was observed.
    """
    if as_of_ms is None:
        as_of_ms = newest_ms(rows, labels)
    known = labels.set_index("transaction_id")["is_fraud"]
    fraud = rows["transaction_id"].map(known)
    counts = (as_of_ms - rows["event_time_ms"] >= maturity_ms) | keep_immature
    table = rows[counts].assign(is_fraud=fraud[counts].eq(other=True))
    if table.empty:
        raise NoFeatureRowsError(
            f"none of {len(rows)} feature rows is {maturity_ms} ms old (maturity_ms) at "
            f"{as_of_ms} ms; wait, or keep young rows"
        )
    frauds = int(table["is_fraud"].sum())
    if frauds in (0, len(table)):
        raise OneClassError(
            f"{frauds} of {len(table)} rows are fraud, both kinds are needed; send labels "
            f"({len(labels)} are there)"
        )
    check_null_share(table)
    check_label_times(table, labels)
    return table.sort_values("event_time_ms", kind="stable").reset_index(drop=True)


def newest_ms(rows: pd.DataFrame, labels: pd.DataFrame) -> int:
    """Give the newest time that rows or labels speak of, ms since 1970 UTC."""
    observed_ms = int(labels["observed_time_ms"].max()) if len(labels) else 0
    return max(int(rows["event_time_ms"].max()), observed_ms)


def check_null_share(table: pd.DataFrame) -> None:
    """Refuse a table with a column of numbers that has no value too often.

    Text may be absent: the vector has a code for that.

    Raises:
        NullShareError: it names each such column with its share.
    """
    shares = table.select_dtypes("number").isna().mean()
    over = shares[shares > NULL_SHARE_MAX]
    if len(over):
        named = ", ".join(f"{name} {share:.1%}" for name, share in over.items())
        raise NullShareError(
            f"columns without a value in more than {NULL_SHARE_MAX:.0%} of {len(table)} rows: "
            f"{named}; look for what no longer computes or joins them, or leave them out"
        )


def check_label_times(table: pd.DataFrame, labels: pd.DataFrame) -> None:
    """Refuse rows whose features are of a time at which their label was already known.

    Raises:
        FutureFeaturesError: it says how many, and names one.
    """
    observed_ms = table["transaction_id"].map(
        labels.set_index("transaction_id")["observed_time_ms"]
    )
    late = table[table["event_time_ms"] > observed_ms]
    if len(late):
        raise FutureFeaturesError(
            f"{len(late)} of {len(table)} rows have features later than their label, the first "
            f"{late['transaction_id'].iloc[0]!r}: a label speaks of another time than its "
            "transaction; correct the labels"
        )


def statistics(table: pd.DataFrame) -> pd.DataFrame:
    """Describe each column of numbers: one row a column.

    Returns:
        Index: column names. ``rows``, ``nulls``, ``mean``, ``std``, ``min``, ``median``, ``max``,
        ``mean_fraud``, ``mean_legitimate``.
    """
    numbers = table.select_dtypes("number")
    is_fraud = table["is_fraud"].to_numpy(dtype=bool)
    return pd.DataFrame(
        {
            "rows": len(numbers),
            "nulls": numbers.isna().sum(),
            "mean": numbers.mean(),
            "std": numbers.std(),
            "min": numbers.min(),
            "median": numbers.median(),
            "max": numbers.max(),
            "mean_fraud": numbers[is_fraud].mean(),
            "mean_legitimate": numbers[~is_fraud].mean(),
        }
    )
