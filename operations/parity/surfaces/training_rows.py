"""Compares the rows that a training fits on with what the recomputation gives.

Also the archive's copy of them. Pure; it is handed a table and does not know where it was read.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.definitions import FEATURE_NAMES
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.report import DIFFERENCES_KEPT, Difference, SurfaceReport
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
    if not has_old:
        present |= {
            each for each in recomputed.ids() if recomputed.position(each) in recomputed.old
        }
    absent = [each for each in recomputed.ids() if each not in present]
    lost = [each for each in absent if not _is_to_come(recomputed, each, held)]
    report.missing = len(lost)
    for each in rows["transaction_id"][~is_known & ~is_newer][:DIFFERENCES_KEPT]:
        report.keep(Difference(each, "row", "a row", "absent"))
    for each in lost[:DIFFERENCES_KEPT]:
        report.keep(Difference(each, "row", "absent", "a row"))
    report.newer += len(absent) - len(lost)
    names = ("amount_minor", *FEATURE_NAMES)
    ids = known["transaction_id"].tolist()
    positions = _positions(known, recomputed, report, has_old=has_old)
    ours = _recomputed_values(positions, recomputed)
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


def _is_to_come(recomputed: Recomputed, transaction_id: str, held: FeatureEnds | None) -> bool:
    """Whether the copy has not come as far as a transaction's first row."""
    place = recomputed.places[recomputed.position(transaction_id)]
    return held is not None and place.offset >= held.get(place.partition, 0)


def _positions(
    known: pd.DataFrame, recomputed: Recomputed, report: SurfaceReport, *, has_old: bool
) -> list[int]:
    """Give the recomputed row of each row; a row that is not its transaction's first differs."""
    positions = []
    identities = known[["transaction_id", "log_partition", "log_offset"]]
    for transaction_id, partition, offset in identities.itertuples(index=False):
        first = recomputed.position(transaction_id)
        at = recomputed.position_at(transaction_id, partition, offset)
        if at is not None and at != first and (has_old or first not in recomputed.old):
            place = recomputed.places[first]
            report.differs(
                transaction_id,
                "row",
                found=f"{partition}:{offset}",
                recomputed=f"{place.partition}:{place.offset}",
            )
        positions.append(first if at is None else at)
    return positions


def _recomputed_values(positions: list[int], recomputed: Recomputed) -> NDArray[np.float64]:
    """Give amount and features of some rows, a row each."""
    if not positions:
        return np.zeros((0, 1 + len(FEATURE_NAMES)))
    amounts = np.fromiter(map(recomputed.amount_minor, positions), dtype=np.float64)
    features = np.frombuffer(recomputed.flat, dtype=np.float64).reshape(-1, len(FEATURE_NAMES))
    return np.column_stack([amounts, features[positions]])
