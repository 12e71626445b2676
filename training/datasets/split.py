"""The splits of a labelled table: what is learnt from, what is chosen by, what is judged on. Pure.

By time is the honest one for fraud, and what a promotion goes by: a model is judged on what came
after all it has seen. At random is what papers compare by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

SHARES: Final = (0.70, 0.15)
"""Of the rows to learn from and those to choose by; the rest is to judge by."""
SPLIT_SEED: Final = 42
"""The seed of the stratified split."""


@dataclass(frozen=True, slots=True)
class Split:
    """A table in three parts, each in the order of the table.

    Attributes:
        train: to fit on while parameters are being chosen.
        validation: to choose parameters by. Once they are chosen, or where nothing is to be
            chosen, it is fitted on as well.
        test: to judge by, and for nothing else.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame

    @property
    def fitted(self) -> pd.DataFrame:
        """What a model that is judged on ``test`` may be fitted on: train, then validation."""
        return pd.concat([self.train, self.validation])


def split_by_time(table: pd.DataFrame) -> Split:
    """Cut a table 70/15/15 at two moments.

    ::

        event time   --------------------------------]----------]--------->
                               train                  validation    test

    No row of a later part is older than a row of an earlier one, and no moment is in two parts:
    rows of equal time on a border all go to the later part. So where many rows share a time the
    shares are not kept to the row.

    Args:
        table: at least one row, ordered by event time.
    """
    times_ms = table["event_time_ms"]
    first_share, second_share = SHARES
    borders_ms = (
        times_ms.iloc[int(len(table) * first_share)],
        times_ms.iloc[int(len(table) * (first_share + second_share))],
    )
    part = np.searchsorted(borders_ms, times_ms.to_numpy(), side="right")
    return Split(*(table[part == number] for number in range(3)))


def split_stratified(table: pd.DataFrame, *, seed: int = SPLIT_SEED) -> Split:
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
        first = round(len(at) * SHARES[0])
        second = first + round(len(at) * SHARES[1])
        for part, chosen in zip(parts, np.split(at, [first, second]), strict=True):
            part.extend(chosen.tolist())
    return Split(*(table.iloc[sorted(part)] for part in parts))
