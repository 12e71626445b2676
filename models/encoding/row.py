"""Encodes one event as a vector, for scoring.

Needs no library of numbers: a vector is a list of floats. `models.encoding.table` gives the same
values for a whole table; a property test compares the two to the last bit. Called by
`models.artifact.load` for each row that is scored, and by parity.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

from features.engine.values import FeatureValue
from models.encoding.vector import AMOUNT_COLUMN, UNKNOWN_CODE, VectorSpec
from schemas.transaction import Transaction


def encode_row(
    spec: VectorSpec, transaction: Transaction, features: Mapping[str, FeatureValue]
) -> list[float]:
    """Give the vector of one event.

    Args:
        spec: the columns and codes.
        transaction: the event; gives the amount and the texts.
        features: the other values by name; None becomes NaN.

    Raises:
        KeyError: ``features`` lacks a column.

    Examples:
        >>> spec = VectorSpec(("amount_minor", "user_amount_mean_1h", "ip_country"),
        ...                   {"ip_country": ("AT", "DE")})
        >>> transaction = Transaction("tx", "u", "m", 250, "EUR", 0, ip_country="DE")
        >>> encode_row(spec, transaction, {"user_amount_mean_1h": None})
        [250.0, nan, 1.0]
    """
    codes = spec.codes
    vector: list[float] = []
    for column in spec.columns:
        if column in codes:
            text = getattr(transaction, column)
            vector.append(codes[column].get(text, UNKNOWN_CODE))
        elif column == AMOUNT_COLUMN:
            vector.append(float(transaction.amount_minor))
        else:
            value = features[column]
            vector.append(nan if value is None else float(value))
    return vector
