"""Joins labels to feature rows: which rows a model may learn from, and which tables are refused.

Pure: the time as of which rows are mature is an argument, never taken from the data, because one
event with a wrong time would move it. A fraud report takes time to arrive, so
transactions younger than the maturity are left out, labelled or not: the few of them that have been
reported already are not a fair sample. Called by `training.datasets.build` and by training.
"""

from __future__ import annotations

from typing import Final

import pandas as pd

from schemas.errors import shown_time
from training.errors import (
    FutureFeaturesError,
    NoFeatureRowsError,
    NullShareError,
    OneClassError,
)

MATURITY_MS: Final = 7 * 24 * 60 * 60 * 1000
"""Age of a transaction, ms, from which on "no label" means "legitimate". Equal to the delay of the
merchant features, for the same reason."""
NULL_SHARE_MAX: Final = 0.1
"""The largest share of nulls in a numeric column."""


def join_labels(
    rows: pd.DataFrame,
    labels: pd.DataFrame,
    *,
    as_of_ms: int,
    maturity_ms: int = MATURITY_MS,
    keep_immature: bool = False,
) -> pd.DataFrame:
    """Add to each mature row whether it is fraud.

    ::

        age of the row     mature                maturity_ms      younger              0
        with a label       its label                  ]      left out (or its label)
        without a label    legitimate                 ]      left out (or legitimate)

    Args:
        rows: as `training.datasets.read_log.feature_table` gives them.
        labels: as `training.datasets.read_log.label_table` gives them as of ``as_of_ms``, one row
            a transaction.
        as_of_ms: ages are counted from here, ms since 1970 UTC: the clock, or an earlier time.
            Rows of a later time are left out.
        maturity_ms: age, ms, from which on a row is included; without a label it is legitimate.
        keep_immature: include younger rows, too, as the cell in brackets says. Some of them are
            labelled wrongly; meant for a demo, whose whole history is young.

    Returns:
        The included rows with ``is_fraud`` (bool), ordered by event time; ties keep the order of
        the log.

    Raises:
        NoFeatureRowsError: no row is included.
        OneClassError: all included rows have the same label.
        NullShareError: a column has too many nulls.
        FutureFeaturesError: a row's event time is after the observation of its label.
    """
    known = labels.set_index("transaction_id")["is_fraud"]
    fraud = rows["transaction_id"].map(known)
    age_ms = as_of_ms - rows["event_time_ms"]
    is_included = age_ms >= (0 if keep_immature else maturity_ms)
    table = rows[is_included].assign(is_fraud=fraud[is_included].eq(other=True))
    if table.empty:
        raise NoFeatureRowsError(
            f"none of {len(rows)} feature rows is {maturity_ms} ms old (maturity_ms) at "
            f"{shown_time(as_of_ms)}; wait, keep young rows, or give a later as-of"
        )
    frauds = int(table["is_fraud"].sum())
    if frauds in (0, len(table)):
        raise OneClassError(
            f"{frauds} of {len(table)} rows are fraud, both kinds are needed; send labels "
            f"({int(fraud.notna().sum())} rows have one)"
        )
    check_null_share(table)
    check_label_times(table, labels)
    return table.sort_values("event_time_ms", kind="stable").reset_index(drop=True)


def check_null_share(table: pd.DataFrame) -> None:
    """Refuse a table in which a numeric column is null in too many rows.

    Text may be absent: the vector has a code for it.

    Raises:
        NullShareError: names each such column and its share.
    """
    shares = table.select_dtypes("number").isna().mean()
    over = shares[shares > NULL_SHARE_MAX]
    if len(over):
        named = ", ".join(f"{name} {share:.1%}" for name, share in over.items())
        raise NullShareError(
            f"columns that are null in more than {NULL_SHARE_MAX:.0%} of {len(table)} rows: "
            f"{named}; find out what no longer computes or joins them, or drop them"
        )


def check_label_times(table: pd.DataFrame, labels: pd.DataFrame) -> None:
    """Refuse rows whose label was observed before their event time.

    Raises:
        FutureFeaturesError: gives the number of such rows, and one of them.
    """
    observed_ms = table["transaction_id"].map(
        labels.set_index("transaction_id")["observed_time_ms"]
    )
    late = table[table["event_time_ms"] > observed_ms]
    if len(late):
        raise FutureFeaturesError(
            f"{len(late)} of {len(table)} rows have features later than their label, the first "
            f"{late['transaction_id'].iloc[0]!r}: the label gives its transaction another event "
            "time than the row; correct the labels"
        )
