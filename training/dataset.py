"""From feature rows and labels to a data set: what counts as fraud, and how it is split by time.

Pure: the log's own newest time is the clock. A report of fraud needs time to come in, so a
transaction without one counts as legitimate only when it is older than the maturity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.vector import CATEGORY_COLUMNS, COLUMNS, MISSING_CODE, UNKNOWN_CODE, VectorSpec
from training.errors import NoFeatureRowsError, OneClassError

MATURITY_MS = 7 * 24 * 60 * 60 * 1000
"""How old a transaction must be, ms, for "no label" to mean "legitimate": the delay of the
merchant features, for the same reason."""
TEST_SHARE = 0.2
"""The newest part of the rows, by event time, that a model is judged on."""


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to learn from, and the newer rows to judge by."""

    train: pd.DataFrame
    test: pd.DataFrame


def join_labels(
    rows: pd.DataFrame,
    labels: pd.DataFrame,
    *,
    maturity_ms: int = MATURITY_MS,
    keep_immature: bool = False,
) -> pd.DataFrame:
    """Say of each row whether it is fraud, by the latest observation known at the read.

    ::

        age of the row        maturity                        0 (the log's newest time)
        with a label     its label   |      its label
        without          legitimate  ]      left out (or kept as legitimate)

    Args:
        rows: as `training.read_log.feature_table` makes them.
        labels: as `training.read_log.label_table` makes them.
        maturity_ms: age, ms, from which on a row without a label is legitimate.
        keep_immature: keep younger rows without a label as legitimate; for a demo, whose
            whole history is young. Such rows are partly wrong.

    Returns:
        The rows that count, with ``is_fraud`` (bool), ordered by event time; ties keep the
        order of the log.

    Raises:
        NoFeatureRowsError: no row counts.
        OneClassError: all rows that count have one label.
    """
    as_of_ms = max(
        int(rows["event_time_ms"].max()),
        int(labels["observed_time_ms"].max()) if len(labels) else 0,
    )
    known = labels.set_index("transaction_id")["is_fraud"]
    fraud = rows["transaction_id"].map(known)
    counts = fraud.notna() | (as_of_ms - rows["event_time_ms"] >= maturity_ms) | keep_immature
    table = rows[counts].assign(is_fraud=fraud[counts].eq(other=True))
    if table.empty:
        raise NoFeatureRowsError(
            f"none of {len(rows)} feature rows has a label or is {maturity_ms} ms old "
            "(maturity_ms); wait, send labels, or keep young rows"
        )
    frauds = int(table["is_fraud"].sum())
    if frauds in (0, len(table)):
        raise OneClassError(
            f"{frauds} of {len(table)} rows are fraud, both kinds are needed; send labels "
            f"({len(labels)} are there)"
        )
    return table.sort_values("event_time_ms", kind="stable").reset_index(drop=True)


def split_by_time(table: pd.DataFrame, *, test_share: float = TEST_SHARE) -> Split:
    """Cut a table at a moment: no row to learn from is newer than a row to judge by.

    Args:
        table: ordered by event time.
        test_share: the newest part, above 0 and below 1; rows of equal time stay together.
    """
    first_test_ms = table["event_time_ms"].iloc[int(len(table) * (1 - test_share))]
    is_test = table["event_time_ms"] >= first_test_ms
    return Split(train=table[~is_test], test=table[is_test])


def vector_spec(table: pd.DataFrame) -> VectorSpec:
    """Give the specification of a table's vectors: all columns, categories as seen, sorted."""
    return VectorSpec(
        COLUMNS,
        {
            column: tuple(sorted(text for text in table[column].unique() if text is not None))
            for column in CATEGORY_COLUMNS
        },
    )


def encode_table(table: pd.DataFrame, spec: VectorSpec) -> NDArray[np.float64]:
    """Give the vectors of a table, equal to ``spec.encode`` row by row, but by column.

    Returns:
        Shape (rows, columns of the specification), float64, NaN for no value.
    """
    return np.column_stack([_encode_column(table, spec, column) for column in spec.columns])


def _encode_column(table: pd.DataFrame, spec: VectorSpec, column: str) -> NDArray[np.float64]:
    if column not in spec.categories:
        return table[column].to_numpy(dtype=np.float64)
    codes = {text: float(code) for code, text in enumerate(spec.categories[column])}
    texts = table[column]
    encoded = texts.map(codes).fillna(UNKNOWN_CODE).where(texts.notna(), MISSING_CODE)
    return np.asarray(encoded, dtype=np.float64)
