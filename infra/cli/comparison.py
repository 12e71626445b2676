"""Compares an exported feature table with one that somebody else computed, value by value.

Pure: two tables in, a count of differences a feature out. Knows the Fraud Detection Handbook's
column names; its definitions are ours (docs/adr/0002).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from infra.simulation.tables import check_columns, opened

MEAN_TOLERANCE: Final = 1e-9
"""For means, of their size and of one: the other side adds in floating point, and its mean of
amounts of nothing is not quite nothing; ours is exact."""

_DAYS: Final = (1, 7, 30)


@dataclass(frozen=True, slots=True)
class ComparedFeature:
    """One feature on both sides.

    Attributes:
        ours: our column.
        theirs: their column.
        scale: their unit in ours: 100 where they count major units of money.
        is_exact: equal to the last bit, or else to `RELATIVE_TOLERANCE`.
        is_user: by user, so that two transactions of one user at the same time may be swapped.
    """

    ours: str
    theirs: str
    scale: float = 1.0
    is_exact: bool = True
    is_user: bool = False


def _of_days(days: int) -> tuple[ComparedFeature, ...]:
    window = f"{days}DAY_WINDOW"
    return (
        ComparedFeature(
            f"user_transaction_count_{days}d", f"CUSTOMER_ID_NB_TX_{window}", is_user=True
        ),
        ComparedFeature(
            f"user_amount_mean_{days}d",
            f"CUSTOMER_ID_AVG_AMOUNT_{window}",
            scale=100.0,
            is_exact=False,
            is_user=True,
        ),
        ComparedFeature(
            f"merchant_transaction_count_{days}d_delay_7d", f"TERMINAL_ID_NB_TX_{window}"
        ),
        ComparedFeature(f"merchant_fraud_rate_{days}d_delay_7d", f"TERMINAL_ID_RISK_{window}"),
    )


HANDBOOK_FEATURES: Final = (
    *(feature for days in _DAYS for feature in _of_days(days)),
    ComparedFeature("is_night", "TX_DURING_NIGHT"),
    ComparedFeature("is_weekend", "TX_DURING_WEEKEND"),
)
_HANDBOOK_ID: Final = "TRANSACTION_ID"


@dataclass(frozen=True, slots=True)
class FeatureDifferences:
    """How one feature compares.

    Attributes:
        name: our name.
        compared: values compared.
        different: values that differ and have no excuse.
        swapped: values that differ, of transactions that share user and time with another: each
            side saw the two in its own order.
        examples: transaction id, our value, their value, of the first few that differ.
    """

    name: str
    compared: int
    different: int
    swapped: int
    examples: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two tables compare.

    Attributes:
        rows: in both tables.
        only_ours: in ours only; not compared.
        only_theirs: in theirs only; not compared.
        tied_rows: transactions that share user and time with another.
        features: one entry a feature.
    """

    rows: int
    only_ours: int
    only_theirs: int
    tied_rows: int
    features: tuple[FeatureDifferences, ...]

    @property
    def values(self) -> int:
        """Values compared."""
        return sum(feature.compared for feature in self.features)

    @property
    def different(self) -> int:
        """Values that differ and have no excuse."""
        return sum(feature.different for feature in self.features)


def compare_files(ours: Path, theirs: Path) -> Comparison:
    """Compare an exported feature table with the handbook's published features.

    Raises:
        TableError: a file is unreadable, or a column is missing.
    """
    of_features = tuple(feature.ours for feature in HANDBOOK_FEATURES)
    our_columns = ("transaction_id", "user_id", "event_time_ms", *of_features)
    their_columns = (_HANDBOOK_ID, *(feature.theirs for feature in HANDBOOK_FEATURES))
    for path, wanted in ((ours, our_columns), (theirs, their_columns)):
        check_columns(path, opened(path).schema_arrow.names, wanted=wanted, mapping="handbook")
    return compare(
        pq.read_table(ours, columns=list(our_columns)).to_pandas(),
        pq.read_table(theirs, columns=list(their_columns)).to_pandas(),
    )


def compare(ours: pd.DataFrame, theirs: pd.DataFrame) -> Comparison:
    """Compare two frames by transaction id; the first row of an id counts on our side."""
    ours = ours.drop_duplicates("transaction_id")
    theirs = theirs.assign(transaction_id=theirs[_HANDBOOK_ID].astype(str))
    both = ours.merge(theirs, on="transaction_id", how="inner", validate="1:1")
    is_tied = tied(both)
    return Comparison(
        rows=len(both),
        only_ours=len(ours) - len(both),
        only_theirs=len(theirs) - len(both),
        tied_rows=int(is_tied.sum()),
        features=tuple(_differences(both, feature, is_tied) for feature in HANDBOOK_FEATURES),
    )


def tied(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Whether a transaction shares its user and its time with another one of the table.

    Equal times have no order of their own: a sort that is not stable may swap them, and then
    each of the two has what the other should have.
    """
    return rows.duplicated(["user_id", "event_time_ms"], keep=False)


def _differences(
    both: pd.DataFrame, feature: ComparedFeature, is_tied: "pd.Series[bool]"
) -> FeatureDifferences:
    ours = both[feature.ours].to_numpy(dtype=np.float64, na_value=np.nan)
    theirs = both[feature.theirs].to_numpy(dtype=np.float64, na_value=np.nan) * feature.scale
    tolerance = 0.0 if feature.is_exact else MEAN_TOLERANCE
    is_equal = np.isclose(ours, theirs, rtol=tolerance, atol=tolerance, equal_nan=True)
    is_excused = ~is_equal & is_tied.to_numpy() & feature.is_user
    is_different = ~is_equal & ~is_excused
    first = np.flatnonzero(is_different)[:3]
    ids = both["transaction_id"].to_numpy()
    return FeatureDifferences(
        name=feature.ours,
        compared=len(both),
        different=int(is_different.sum()),
        swapped=int(is_excused.sum()),
        examples=tuple((str(ids[i]), float(ours[i]), float(theirs[i])) for i in first),
    )
