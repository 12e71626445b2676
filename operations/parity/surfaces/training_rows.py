"""Compares the rows that a training fits on with what the recomputation gives.

Also the archive's copy of them. Pure; it is handed a table and does not know where it was read.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.definitions import FEATURE_NAMES
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.report import SurfaceReport
from operations.parity.surfaces.decisions import FeatureEnds


def compare_training_rows(
    rows: pd.DataFrame,
    recomputed: Recomputed,
    *,
    ends: FeatureEnds,
    held: FeatureEnds | None = None,
    has_old: bool = True,
) -> SurfaceReport:
    """Compare the rows that a training fits on, value by value, the amount included.

    Args:
        rows: a table with the columns of `training.datasets.read_log.feature_table`.
        recomputed: what the values should be.
        ends: by partition, the offset up to which the feature log was recomputed; rows from
            there on are newer.
        held: by partition, the offset up to which the table has copied the feature log; a row
            that it lacks from there on is newer, not missing. None: it has copied all of it.
        has_old: whether the table should have a row for each row of other definitions.
    """
    report = SurfaceReport()
    limits = rows["log_partition"].map(dict(ends)).fillna(0)
    is_known = rows["transaction_id"].map(recomputed.__contains__).to_numpy(dtype=bool)
    is_newer = (rows["log_offset"] >= limits).to_numpy() & ~is_known
    report.newer = int(is_newer.sum())
    report.extra = int((~is_known & ~is_newer).sum())
    known = rows[is_known]
    present = set(known["transaction_id"])
    present |= set() if has_old else recomputed.old
    absent = [each for each in recomputed.ids() if each not in present]
    to_come = sum(_is_beyond(recomputed.places[each], held) for each in absent) if held else 0
    report.missing = len(absent) - to_come
    report.newer += to_come
    names = ("amount_minor", *FEATURE_NAMES)
    ids = known["transaction_id"].tolist()
    ours = _recomputed_values(ids, recomputed)
    theirs = known[list(names)].to_numpy(dtype=np.float64)
    report.checked = ours.size
    is_equal = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    for row, column in np.argwhere(~is_equal):
        report.differs(
            ids[row],
            names[column],
            found=float(theirs[row, column]),
            recomputed=float(ours[row, column]),
        )
    return report


def _recomputed_values(ids: list[str], recomputed: Recomputed) -> NDArray[np.float64]:
    """Give amount and features of some transactions, a row each."""
    if not ids:
        return np.zeros((0, 1 + len(FEATURE_NAMES)))
    positions = np.fromiter(map(recomputed.position, ids), dtype=np.intp, count=len(ids))
    amounts = np.fromiter(map(recomputed.amount_minor, ids), dtype=np.float64, count=len(ids))
    features = np.frombuffer(recomputed.flat, dtype=np.float64).reshape(-1, len(FEATURE_NAMES))
    return np.column_stack([amounts, features[positions]])


def _is_beyond(place: tuple[int, int], ends: FeatureEnds) -> bool:
    partition, offset = place
    return offset >= ends.get(partition, 0)
