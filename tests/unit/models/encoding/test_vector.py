"""The specification of a vector."""

from __future__ import annotations

import json
from typing import Any

import pytest

from features.batch import BATCH_NAMES
from models.encoding.vector import COLUMNS, STREAM_COLUMNS, VectorSpec


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


def test_columns_that_nobody_fills_are_named() -> None:
    spec = VectorSpec(("amount", "amount_minor"), {})
    with pytest.raises(ValueError, match=r"\['amount'\] cannot be filled"):
        spec.check_columns(COLUMNS)
    spec.check_columns(spec.columns)


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
