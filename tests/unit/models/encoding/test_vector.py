"""The model's input."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from features.batch import BATCH_NAMES
from features.definitions import FEATURE_NAMES
from models.encoding.vector import COLUMNS, STREAM_COLUMNS, VectorSpec
from schemas.transaction import Transaction

FEATURES = {name: at for at, name in enumerate(FEATURE_NAMES)}
BATCH = {name: 100 + at for at, name in enumerate(BATCH_NAMES)}


def transaction(**optional: str) -> Transaction:
    return Transaction("tx", "u", "m", 1_250, "EUR", 0, **optional)


def test_all_columns_come_in_order_amount_features_texts_batch() -> None:
    spec = VectorSpec(COLUMNS, {"device_type": ("app", "web"), "ip_country": ("AT",)})
    event = transaction(device_type="web", ip_country="AT")
    vector = spec.encode(event, FEATURES | BATCH)
    of_row = [1_250.0, *map(float, range(len(FEATURE_NAMES))), 1.0, 0.0]
    assert vector == of_row + [float(value) for value in BATCH.values()]
    assert all(isinstance(value, float) for value in vector)


def test_unknown_and_missing_texts_have_codes_of_their_own() -> None:
    spec = VectorSpec(("device_type",), {"device_type": ("app",)})
    assert spec.encode(transaction(device_type="fridge"), {}) == [-1.0]
    assert spec.encode(transaction(), {}) == [-2.0]


def test_null_becomes_nan() -> None:
    spec = VectorSpec(("user_amount_mean_5m",), {})
    assert math.isnan(spec.encode(transaction(), {"user_amount_mean_5m": None})[0])


def test_a_missing_feature_is_an_error_not_a_guess() -> None:
    spec = VectorSpec(("user_amount_mean_5m",), {})
    with pytest.raises(KeyError, match="user_amount_mean_5m"):
        spec.encode(transaction(), {})


def test_categories_are_the_texts_seen_sorted() -> None:
    spec = VectorSpec.for_transactions(
        [transaction(device_type="web", ip_country="DE"), transaction(device_type="app")]
    )
    assert spec.columns == STREAM_COLUMNS
    assert spec.categories == {"device_type": ("app", "web"), "ip_country": ("DE",)}


def test_a_specification_names_the_batch_features_it_takes() -> None:
    some = VectorSpec((BATCH_NAMES[2], "amount_minor", BATCH_NAMES[0]), {})
    assert some.batch_columns == (BATCH_NAMES[2], BATCH_NAMES[0])
    assert (
        VectorSpec(STREAM_COLUMNS, dict.fromkeys(("device_type", "ip_country"), ())).batch_columns
        == ()
    )


def test_json_gives_the_same_spec_and_digest_back() -> None:
    spec = VectorSpec(COLUMNS, {"ip_country": ("DE", "AT"), "device_type": ("ä",)})
    again = VectorSpec.from_json(spec.to_json())
    assert again == spec
    assert again.digest == spec.digest
    assert again.to_json() == spec.to_json()


def test_the_digest_tells_orders_apart() -> None:
    digests = {
        VectorSpec(columns, {"ip_country": countries}).digest
        for columns in (("amount_minor", "ip_country"), ("ip_country", "amount_minor"))
        for countries in (("DE", "AT"), ("AT", "DE"))
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("columns", "categories", "message"),
    [
        (("amount",), {}, "cannot be filled"),
        (("amount_minor", "amount_minor"), {}, "twice"),
        (("ip_country",), {"ip_country": ("AT", "AT")}, "twice"),
        (("ip_country",), {}, "needed for"),
        (("amount_minor",), {"ip_country": ("AT",)}, "needed for"),
    ],
)
def test_a_spec_that_could_not_be_filled_is_refused(
    columns: tuple[str, ...], categories: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        VectorSpec(columns, categories)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"columns": 1, "categories": {}}',
        '{"columns": [], "categories": []}',
        '{"columns": "amount_minor", "categories": {}}',
        '{"columns": [[]], "categories": {}}',
        '{"columns": ["ip_country"], "categories": {"ip_country": [1]}}',
        '{"columns": ["ip_country"], "categories": {"ip_country": "AT"}}',
    ],
)
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no vector spec"):
        VectorSpec.from_json(text)


def test_json_is_readable_by_anyone() -> None:
    spec = VectorSpec(("amount_minor",), {})
    assert json.loads(spec.to_json()) == {"columns": ["amount_minor"], "categories": {}}
