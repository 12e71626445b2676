"""The rule of `schemas.first_row` for whole tables of feature rows.

Pure; knows no storage. Called by the readers of the archive and of the feature log.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas.first_row import RowPlace, first_of

ORDERING_COLUMNS: Final = ("repeat", "computed_at_ms")
"""What the rule needs besides ``transaction_id``, ``log_partition`` and ``log_offset``."""


def is_first_row(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Say of each row whether it is the first row of its transaction.

    Args:
        rows: ``transaction_id``, ``log_partition``, ``log_offset`` and `ORDERING_COLUMNS`, each
            partition in offset order.

    Returns:
        One boolean a row, in the order of the rows.
    """
    is_candidate = ~rows["repeat"].to_numpy(dtype=bool)
    candidates = rows[is_candidate]
    in_partition = candidates.duplicated(["transaction_id", "log_partition"], keep="first")
    candidates = candidates[~in_partition]
    result = np.zeros(len(rows), dtype=bool)
    positions = np.flatnonzero(is_candidate)[~in_partition.to_numpy()]
    result[positions] = True
    is_shared = candidates["transaction_id"].duplicated(keep=False).to_numpy()
    shared = candidates[is_shared].assign(position=positions[is_shared])
    for _, of_id in shared.groupby("transaction_id", sort=False):
        places = [
            RowPlace(int(partition), int(offset), int(computed_at_ms))
            for partition, offset, computed_at_ms in zip(
                of_id["log_partition"], of_id["log_offset"], of_id["computed_at_ms"], strict=True
            )
        ]
        result[of_id["position"]] = False
        result[of_id["position"].iloc[first_of(places)]] = True
    return result
