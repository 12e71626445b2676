"""Compares an exported feature table with the published one of the handbook, value by value.

Pure: two tables in, a count of differences for each feature out. Knows the column names of the
Fraud Detection Handbook, whose definitions are the same as ours (docs/adr/0002). Called by
`weir compare`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

MEAN_TOLERANCE: Final = 1e-9
"""Tolerance for means, relative and absolute: the handbook adds in floating point, so its mean of
amounts of 0 is not exactly 0; ours is exact."""

_DAYS: Final = (1, 7, 30)


@dataclass(frozen=True, slots=True)
class ComparedFeature:
    """One feature on both sides.

    Attributes:
        ours: our column.
        theirs: their column.
        scale: their unit in ours: 100 where they count major units of money.
        is_exact: must be equal to the last bit; otherwise within `MEAN_TOLERANCE`.
        is_user: a user's feature, so that two transactions of one user at the same time may be
            swapped.
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

_OUR_FEATURES: Final = tuple(feature.ours for feature in HANDBOOK_FEATURES)
OUR_COLUMNS: Final = ("transaction_id", "user_id", "event_time_ms", *_OUR_FEATURES)
"""Columns that an exported feature table needs."""
HANDBOOK_COLUMNS: Final = (_HANDBOOK_ID, *(feature.theirs for feature in HANDBOOK_FEATURES))
"""Columns that the handbook's table needs."""


@dataclass(frozen=True, slots=True)
class FeatureDifferences:
    """How one feature compares.

    Attributes:
        name: our name.
        compared: values compared.
        different: values that differ, apart from swapped ones.
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
        """Values that differ, apart from swapped ones."""
        return sum(feature.different for feature in self.features)


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

    Equal times have no order: a sort that is not stable may swap them, and then each of the two
    has the values that the other should have.
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
