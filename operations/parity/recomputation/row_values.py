"""Compares the values of one feature row with the recomputed ones, and counts what differs.

A value that the row's older definitions did not have is not compared. Called by `audit` for the
user's features and by `merchant_folds` for the merchant's.
"""

from collections.abc import Set
from typing import Final

from features.definitions import DEFINITION_DIGEST
from features.engine.state import Values
from operations.parity.report import Difference, FeatureLogReport, Value
from schemas.feature_row import FeatureRow

ABSENT: Final = "absent"
NOT_IN_ITS_DEFINITIONS: Final = "not in its definitions"


def logged_values(row: FeatureRow, names: tuple[str, ...]) -> tuple[Value | str, ...]:
    """Give the values of a row in the order of the names; a word for those it does not have."""
    is_present = row.definition_digest == DEFINITION_DIGEST
    lacking = ABSENT if is_present else NOT_IN_ITS_DEFINITIONS
    return tuple(row.features.get(name, lacking) for name in names)


def count_differences(
    report: FeatureLogReport,
    transaction_id: str,
    names: tuple[str, ...],
    *,
    logged: tuple[Value | str, ...],
    logged_marks: Set[str],
    recomputed: Values,
) -> int:
    """Compare values and marks of approximation; keep the first differences in the report.

    Args:
        report: its `checked` grows by the values compared, `mismatched` does not change.
        transaction_id: of the row.
        names: of the features.
        logged: their values in the row, as `logged_values` gives them.
        logged_marks: names of the row's features that are marked approximate.
        recomputed: what the values should be.

    Returns:
        How many values differ, or are marked approximate on one side only.
    """
    marks = recomputed.approximate
    different = 0
    for name, value in zip(names, logged, strict=True):
        if value == NOT_IN_ITS_DEFINITIONS:
            continue
        report.checked += 1
        wanted = recomputed.features[name]
        if value == wanted and (name in logged_marks) == (name in marks):
            continue
        different += 1
        report.keep(
            Difference(
                transaction_id=transaction_id,
                feature=name,
                logged=_shown(value, is_approximate=name in logged_marks),
                recomputed=_shown(wanted, is_approximate=name in marks),
            )
        )
    return different


def _shown(value: Value | str, *, is_approximate: bool) -> Value | str:
    return f"{value} (approximate)" if is_approximate else value
