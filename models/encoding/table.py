"""Encodes a table of events as vectors, column by column, for training and batch scoring.

Gives the same values as `models.encoding.row`; a property test compares the two to the last bit.
The only module of `models` that imports pandas, so a service that scores single events must not
import it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.batch import BATCH_NAMES
from models.encoding.vector import (
    CATEGORY_COLUMNS,
    MISSING_CODE,
    STREAM_COLUMNS,
    UNKNOWN_CODE,
    VectorSpec,
)


def vector_spec(table: pd.DataFrame) -> VectorSpec:
    """Give the specification of a table's vectors: all its columns, its texts as categories.

    Args:
        table: with every column of ``STREAM_COLUMNS``. The batch features that it has become
            columns of the vector, too.
    """
    return VectorSpec(
        (*STREAM_COLUMNS, *(name for name in BATCH_NAMES if name in table)),
        {
            column: tuple(sorted(text for text in table[column].unique() if text is not None))
            for column in CATEGORY_COLUMNS
        },
    )


def encode_table(table: pd.DataFrame, spec: VectorSpec) -> NDArray[np.float64]:
    """Give the vectors of a table, one for each row.

    Returns:
        Shape (rows, columns of the specification), float64; NaN where there is no value.

    Raises:
        KeyError: the table lacks a column of the specification.
    """
    return np.column_stack([_encode_column(table[name], spec, name) for name in spec.columns])


def _encode_column(values: pd.Series, spec: VectorSpec, name: str) -> NDArray[np.float64]:
    if name not in spec.codes:
        return values.to_numpy(dtype=np.float64)
    known = {text: code for text, code in spec.codes[name].items() if text is not None}
    codes = values.map(known).fillna(UNKNOWN_CODE).where(values.notna(), MISSING_CODE)
    return np.asarray(codes, dtype=np.float64)
