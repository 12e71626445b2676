"""Arrow columns are encoded as rows are when they are scored, to the last bit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.encoding.columns import encode_columns
from models.encoding.table import encode_table, vector_spec
from models.encoding.vector import CATEGORY_COLUMNS, VectorSpec
from tests.component.models.encoding.test_table import EVENTS, NUMBERS, by_row, specs
from tests.model_files import training_table


def batch_of(events: list[dict[str, object]]) -> pa.RecordBatch:
    """The events as the archive has them: integers where all are, else doubles."""
    columns = {name: [event[name] for event in events] for name in events[0]}
    arrays = {}
    for name, values in columns.items():
        if name in CATEGORY_COLUMNS:
            arrays[name] = pa.array(values, pa.string())
        elif all(value is None or isinstance(value, int) for value in values):
            arrays[name] = pa.array(values, pa.int64())
        else:
            numbers = [None if value is None else float(value) for value in values]  # type: ignore[arg-type]
            arrays[name] = pa.array(numbers, pa.float64())
    return pa.RecordBatch.from_pydict(arrays)


@given(specs(), st.lists(EVENTS, min_size=1, max_size=6))
def test_columns_and_rows_are_encoded_equally(
    spec: VectorSpec, events: list[dict[str, object]]
) -> None:
    assert set(NUMBERS) <= events[0].keys()
    assert encode_columns(batch_of(events), spec).tobytes() == by_row(spec, events)  # type: ignore[arg-type]


def test_a_filtered_and_sliced_batch_is_encoded_as_its_rows() -> None:
    table = training_table()
    spec = vector_spec(table[table["ip_country"] != "FR"])
    batch = pa.RecordBatch.from_pandas(table, preserve_index=False)
    kept = np.arange(len(table)) % 3 != 0
    found = encode_columns(batch.filter(pa.array(kept)).slice(5, 100), spec)
    assert found.tobytes() == encode_table(table[kept].iloc[5:105], spec).tobytes()


def test_a_missing_column_is_an_error() -> None:
    with pytest.raises(KeyError, match="amount_minor"):
        encode_columns(pa.RecordBatch.from_pydict({"a": [1]}), VectorSpec(("amount_minor",), {}))
