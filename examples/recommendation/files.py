"""Reads the files of a night: what shoppers, products and candidates were when it was published.

Called by the training, which fits on them, and by the comparison with Redis.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from examples.recommendation.features import (
    PRODUCT_FEATURES,
    PRODUCT_VIEW,
    SHOPPER_FEATURES,
    SHOPPER_VIEW,
    Matrix,
)
from examples.recommendation.night import CANDIDATES_FILE
from examples.recommendation.tables import TablesError


class NightFiles(NamedTuple):
    """What a night published, for some shoppers.

    Attributes:
        users: their ids.
        shoppers: their features, shape (users, `SHOPPER_FEATURES`).
        product_ids: of the catalogue, in order.
        products: the features of each, shape (products, `PRODUCT_FEATURES`).
        candidate: shape (users, candidates), positions in ``product_ids``; -1 for none.
        score: of the same shape.
    """

    users: list[str]
    shoppers: Matrix
    product_ids: NDArray[np.int64]
    products: Matrix
    candidate: NDArray[np.int64]
    score: Matrix


def read_night(directory: Path, users: list[str]) -> NightFiles:
    """Read what a night published for some shoppers, in the order in which they are given.

    Raises:
        TablesError: there was no night, or it knew one of the shoppers not.
    """
    shoppers = _rows_of(directory / f"{SHOPPER_VIEW}.parquet", users)
    found = _rows_of(directory / CANDIDATES_FILE, users)
    products = _read(directory / f"{PRODUCT_VIEW}.parquet").sort_by("product_id")
    ids = products["product_id"].to_numpy()
    candidate, score = _matrices(found, ids)
    return NightFiles(
        users,
        _matrix(shoppers, SHOPPER_FEATURES),
        ids,
        _matrix(products, PRODUCT_FEATURES),
        candidate,
        score,
    )


def _matrices(found: pa.Table, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], Matrix]:
    lists, scores = (found[name].combine_chunks() for name in ("product_id", "score"))
    lengths = pc.list_value_length(lists).to_numpy()
    row = np.repeat(np.arange(len(found)), lengths)
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    candidate = np.full((len(found), max(1, int(lengths.max()))), -1, dtype=np.int64)
    score = np.zeros(candidate.shape)
    candidate[row, place] = np.searchsorted(ids, lists.flatten().to_numpy())
    score[row, place] = scores.flatten().to_numpy()
    return candidate, score


def _matrix(table: pa.Table, features: Mapping[str, str]) -> Matrix:
    return np.column_stack([table[name].to_numpy().astype(np.float64) for name in features])


def _rows_of(file: Path, users: list[str]) -> pa.Table:
    table = _read(file)
    at = pc.index_in(pa.array(users), value_set=table["user_id"].combine_chunks())
    if at.null_count:
        missing = users[pc.index(at.is_null(), value=True).as_py()]
        raise TablesError(f"{file} has no shopper {missing!r:.80}; run the nightly job again")
    return table.take(at)


def _read(file: Path) -> pa.Table:
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise TablesError(
            f"{file} cannot be read: {error!s:.200}; run the nightly job first"
        ) from error
