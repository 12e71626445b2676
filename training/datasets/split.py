"""Splits a labelled table into train, validation and test rows. Pure.

Promotions use the split by time: a model is judged on rows that came after all it was fitted on.
The random split overstates the quality of a fraud model; publications compare models by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import pandas as pd

from features.definitions import DAY_MS
from models.encoding.table import vector_spec
from models.encoding.vector import VectorSpec
from schemas.errors import shown_time
from training.errors import NoFeatureRowsError

SHARES: Final = (0.70, 0.15)
"""Shares of the train and validation rows; the rest are test rows."""
SPLIT_SEED: Final = 42
"""The seed of the stratified split."""


class SplitKind(StrEnum):
    """How a table is split."""

    TIME = "time"
    STRATIFIED = "stratified"


@dataclass(frozen=True, slots=True)
class Split:
    """A table in three parts, each in the order of the table.

    Attributes:
        train: rows to fit on while parameters are being chosen.
        validation: rows to choose parameters by. Once they are chosen, or if nothing is to be
            chosen, the model is fitted on these rows, too.
        test: rows to judge the model by; used for nothing else.
        columns: of the vectors, numbers only; None: those of a model of transactions.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    columns: tuple[str, ...] | None = None

    def vector_spec(self, rows: pd.DataFrame) -> VectorSpec:
        """Give the specification of the vectors of a model that is fitted on some of the rows."""
        return vector_spec(rows) if self.columns is None else VectorSpec(self.columns, {})

    @property
    def fitted(self) -> pd.DataFrame:
        """The rows that a model may be fitted on: train, then validation."""
        return pd.concat([self.train, self.validation])

    def parts(self) -> Mapping[str, pd.DataFrame]:
        """Give the parts by name, in the order in which they are used."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def split_table(table: pd.DataFrame, kind: SplitKind) -> Split:
    """Split a labelled table, as `split_by_time` or `split_stratified` does."""
    return split_by_time(table) if kind is SplitKind.TIME else split_stratified(table)


def split_by_time(table: pd.DataFrame) -> Split:
    """Split a table 70/15/15 at two points in time.

    ::

        event time   --------------------------------]----------]--------->
                               train                  validation    test

    All rows of a later part are newer than those of an earlier one: rows of equal time at a border
    all go to the later part. If many rows share a time, the shares are therefore not exact.

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


def split_with_gap(table: pd.DataFrame, *, horizon_ms: int, columns: tuple[str, ...]) -> Split:
    """Split rows of users at times, so that no fitted label depends on the judged time.

    ::

        event time   ------------------]<------- horizon ------->[--------->
                       train             left out                  test

    The newest 15 % of the times are test rows. The label of a row is decided within the horizon
    after it, so rows less than a horizon older than the test rows are left out. There are no
    validation rows.

    Args:
        table: at least one row, ordered by event time.
        horizon_ms: how long after a row its label is decided, ms.
        columns: of the vectors.

    Raises:
        NoFeatureRowsError: all times are within one horizon of the test rows.
    """
    times_ms = np.unique(table["event_time_ms"].to_numpy())
    first_ms = int(times_ms[int(len(times_ms) * sum(SHARES))])
    train = table[table["event_time_ms"] <= first_ms - horizon_ms]
    if train.empty:
        raise NoFeatureRowsError(
            f"the rows reach from {shown_time(int(times_ms[0]))} to "
            f"{shown_time(int(times_ms[-1]))}, and a model is judged on rows that are "
            f"{horizon_ms / DAY_MS:g} days (the horizon of its label) newer than those it is "
            "fitted on; name an earlier first day, or wait until there are more days"
        )
    test = table[table["event_time_ms"] >= first_ms]
    return Split(train, table.iloc[:0], test, columns)


def split_stratified(table: pd.DataFrame, *, seed: int = SPLIT_SEED) -> Split:
    """Split a table 70/15/15 at random, with the same share of fraud in each part.

    Rows of one user are in several parts, and train rows may be newer than test rows, so the
    figures of a fraud model come out too good. To compare models, split by time.

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
    train, validation, test = (table.iloc[sorted(part)] for part in parts)
    return Split(train, validation, test)
