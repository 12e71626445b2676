"""The vector of one event."""

from __future__ import annotations

import math

import pytest

from features.batch import BATCH_NAMES
from features.definitions import FEATURE_NAMES
from models.encoding.row import encode_row
from models.encoding.vector import COLUMNS, VectorSpec
from schemas.transaction import Transaction

FEATURES = {name: at for at, name in enumerate(FEATURE_NAMES)}
BATCH = {name: 100 + at for at, name in enumerate(BATCH_NAMES)}


def transaction(**optional: str) -> Transaction:
    return Transaction("tx", "u", "m", 1_250, "EUR", 0, **optional)


def test_all_columns_come_in_order_amount_features_texts_batch() -> None:
    spec = VectorSpec(COLUMNS, {"device_type": ("app", "web"), "ip_country": ("AT",)})
    event = transaction(device_type="web", ip_country="AT")
    vector = encode_row(spec, event, FEATURES | BATCH)
    of_row = [1_250.0, *map(float, range(len(FEATURE_NAMES))), 1.0, 0.0]
    assert vector == of_row + [float(value) for value in BATCH.values()]
    assert all(isinstance(value, float) for value in vector)


def test_unknown_and_missing_texts_have_codes_of_their_own() -> None:
    spec = VectorSpec(("device_type",), {"device_type": ("app",)})
    assert encode_row(spec, transaction(device_type="fridge"), {}) == [-1.0]
    assert encode_row(spec, transaction(), {}) == [-2.0]


def test_null_becomes_nan() -> None:
    spec = VectorSpec(("user_amount_mean_5m",), {})
    assert math.isnan(encode_row(spec, transaction(), {"user_amount_mean_5m": None})[0])


def test_a_missing_feature_is_an_error_not_a_guess() -> None:
    spec = VectorSpec(("user_amount_mean_5m",), {})
    with pytest.raises(KeyError, match="user_amount_mean_5m"):
        encode_row(spec, transaction(), {})
