"""Encodes Arrow columns of events as vectors, for batch scoring: no pandas, no Python per value.

Gives the same values as `models.encoding.row` and `models.encoding.table`; a property test compares
them to the last bit. Pure. Called inside Flink by `streams.batch_scoring`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.encoding.vector import MISSING_CODE, UNKNOWN_CODE, VectorSpec


def encode_columns(rows: pa.RecordBatch, spec: VectorSpec) -> NDArray[np.float64]:
    """Give the vectors of a batch of events, one for each row.

    Args:
        rows: with every column of the specification; numbers as any number type, texts as strings.
        spec: of the vectors.

    Returns:
        Shape (rows, columns of the specification), float64; NaN where there is no value.

    Raises:
        KeyError: the batch lacks a column of the specification.
    """
    vectors = np.empty((len(rows), len(spec.columns)))
    for at, name in enumerate(spec.columns):
        column = rows.column(name)
        vectors[:, at] = _codes(column, spec, name) if name in spec.codes else _numbers(column)
    return vectors


def _numbers(column: pa.Array) -> NDArray[np.float64]:
    # Unsafe only in that integers above 2**53 are rounded, as `float` rounds them.
    return np.asarray(
        column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    )


def _codes(column: pa.Array, spec: VectorSpec, name: str) -> NDArray[np.float64]:
    known = pa.array(spec.categories[name], pa.string())
    codes = pc.index_in(column.cast(pa.string()), value_set=known).cast(pa.float64())
    unknown = codes.fill_null(UNKNOWN_CODE)
    return np.asarray(
        pc.if_else(column.is_null(), MISSING_CODE, unknown).to_numpy(zero_copy_only=False)
    )
