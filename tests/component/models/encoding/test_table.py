"""The two encoders, by row and by column, give equal vectors to the last bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.batch import BATCH_NAMES
from features.definitions import FEATURE_NAMES
from features.engine.values import FeatureValue
from models.encoding.row import encode_row
from models.encoding.table import encode_table, vector_spec
from models.encoding.vector import CATEGORY_COLUMNS, COLUMNS, STREAM_COLUMNS, VectorSpec
from schemas.transaction import Transaction
from tests.model_files import training_table

NUMBERS = (*FEATURE_NAMES, *BATCH_NAMES)
KNOWN = ("AT", "DE", "mobile", "")
VALUES = (
    st.none()
    | st.integers(0, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -0.0, 2**53 + 1, 1e-320])
)
EVENTS = st.fixed_dictionaries(
    {
        "amount_minor": st.integers(0, 10**12),
        **{name: st.none() | st.sampled_from((*KNOWN, "unknown")) for name in CATEGORY_COLUMNS},
        **dict.fromkeys(NUMBERS, VALUES),
    }
)


@st.composite
def specs(draw: st.DrawFn) -> VectorSpec:
    columns = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, unique=True))
    texts = st.lists(st.sampled_from(KNOWN), unique=True).map(tuple)
    return VectorSpec(
        tuple(columns), {name: draw(texts) for name in CATEGORY_COLUMNS if name in columns}
    )


def transaction(event: dict[str, object]) -> Transaction:
    return Transaction(
        transaction_id="t",
        user_id="u",
        merchant_id="m",
        amount_minor=event["amount_minor"],  # type: ignore[arg-type]
        currency="EUR",
        event_time_ms=0,
        device_type=event["device_type"],  # type: ignore[arg-type]
        ip_country=event["ip_country"],  # type: ignore[arg-type]
    )


def by_row(spec: VectorSpec, events: list[dict[str, FeatureValue]]) -> bytes:
    vectors = [
        encode_row(spec, transaction(dict(event)), {name: event[name] for name in NUMBERS})
        for event in events
    ]
    return np.array(vectors, dtype=np.float64).tobytes()


@settings(deadline=None)
@given(specs(), st.lists(EVENTS, min_size=1, max_size=6))
def test_rows_and_tables_are_encoded_equally_to_the_last_bit(
    spec: VectorSpec, events: list[dict[str, FeatureValue]]
) -> None:
    assert encode_table(pd.DataFrame(events), spec).tobytes() == by_row(spec, events)


def test_a_whole_table_is_encoded_as_its_rows_are_when_they_are_scored() -> None:
    table = training_table()
    spec = vector_spec(table[table["ip_country"] != "FR"])
    events = [
        {**dict.fromkeys(BATCH_NAMES), **{k: None if pd.isna(v) else v for k, v in row.items()}}
        for row in table.to_dict("records")
    ]
    vectors = encode_table(table, spec)
    assert vectors.tobytes() == by_row(spec, events)
    assert set(vectors[:, spec.columns.index("ip_country")]) == {-2.0, -1.0, 0.0, 1.0}


@pytest.mark.parametrize("missing", [BATCH_NAMES[0], FEATURE_NAMES[0]])
def test_a_missing_column_is_an_error_in_both(missing: str) -> None:
    spec = VectorSpec(("amount_minor", missing), {})
    event = {"amount_minor": 1, "device_type": None, "ip_country": None}
    with pytest.raises(KeyError, match=missing):
        encode_table(pd.DataFrame([event]), spec)
    with pytest.raises(KeyError, match=missing):
        encode_row(spec, transaction(dict(event)), {})


def test_a_table_without_rows_has_no_vectors() -> None:
    table = training_table().iloc[:0]
    spec = vector_spec(training_table())
    assert encode_table(table, spec).shape == (0, len(spec.columns))


def test_categories_are_the_texts_of_the_table_sorted() -> None:
    spec = vector_spec(training_table())
    assert spec.columns == STREAM_COLUMNS
    assert spec.categories == {"device_type": ("mobile", "web"), "ip_country": ("AT", "DE", "FR")}


def test_batch_features_are_columns_only_if_the_table_has_them() -> None:
    table = training_table().assign(**dict.fromkeys(BATCH_NAMES[:2], 1.0))
    assert vector_spec(table).columns == (*STREAM_COLUMNS, *BATCH_NAMES[:2])
