"""From feature rows and labels to a data set: what counts, what is refused, the splits.

Pure: the log's own newest time is the clock. A report of fraud needs time to come in, so no
transaction younger than the maturity counts: neither as legitimate, nor as fraud, since the young
ones that are reported already are no fair sample of the young.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.batch import BATCH_NAMES
from features.vector import (
    CATEGORY_COLUMNS,
    MISSING_CODE,
    STREAM_COLUMNS,
    UNKNOWN_CODE,
    VectorSpec,
)
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
SPLIT_SEED = 42
"""The seed of the stratified split."""
STRATIFIED_SHARES = (0.70, 0.15)
"""Of the rows to learn from and those to choose by; the rest is to judge by."""
TEST_SHARE = 0.2
"""The newest part of the rows, by event time, that a model is judged on."""


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to learn from, and the newer rows to judge by."""

    train: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True, slots=True)
class ThreeWaySplit:
    """Rows to learn from, to choose parameters by, and to judge by."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


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
        rows: as `training.read_log.feature_table` makes them.
        labels: as `training.read_log.label_table` makes them.
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


def split_stratified(table: pd.DataFrame, *, seed: int = SPLIT_SEED) -> ThreeWaySplit:
    """Divide the rows 70/15/15 at random, with the same share of fraud in each part.

    Rows of one user end up in different parts, and rows to learn from may be newer than rows to
    judge by: it flatters a model of fraud. To compare models, split by time.

    Args:
        table: with ``is_fraud``.
        seed: equal tables and seeds give equal parts.
    """
    rng = np.random.default_rng(seed)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for is_fraud in (False, True):
        at = rng.permutation(np.flatnonzero(table["is_fraud"].to_numpy(dtype=bool) == is_fraud))
        first = round(len(at) * STRATIFIED_SHARES[0])
        second = first + round(len(at) * STRATIFIED_SHARES[1])
        for part, chosen in zip(parts, np.split(at, [first, second]), strict=True):
            part.extend(chosen.tolist())
    train, validation, test = (table.iloc[sorted(part)] for part in parts)
    return ThreeWaySplit(train, validation, test)


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
    """Give the specification of a table's vectors: all columns, categories as seen, sorted.

    Batch features are columns where the table has them.
    """
    return VectorSpec(
        (*STREAM_COLUMNS, *(name for name in BATCH_NAMES if name in table)),
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
