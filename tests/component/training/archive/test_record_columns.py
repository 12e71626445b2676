"""What the engine reads of a record is what Python reads, to the last bit.

Mutated records by the thousand: Python alone decodes them, then engine and Python together.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.log_record import Record
from features.definitions import FEATURE_NAMES
from schemas.codec import encode_label, encode_transaction
from schemas.output_codec import encode_decision, encode_feature_row
from schemas.topics import DECISIONS, FEATURES, LABELS, TRANSACTIONS
from schemas.transaction import Limits
from tests.builders import DECISION, LABEL, LIMITS, NOW_MS, transaction
from tests.component.features.record_streams import mutated
from tests.scoring_fakes import feature_row
from training.archive import columns
from training.archive.record_columns import PlainColumns, plain_columns
from training.archive.tables import SCHEMAS, TABLES

RECORDS_EACH = 60
VALUES: dict[str, int | float | None] = dict(
    zip(
        FEATURE_NAMES,
        (0.1, -0.0, 2**53, 1e-7, 5e-324, None, 7, 123456789012345680.0, *range(99)),
        strict=False,
    )
)
# Whole numbers where the column holds them.
VALUES |= {name: 2**63 - 1 for name in FEATURE_NAMES if "_count_" in name}
VALUES |= {name: 3 for name in FEATURE_NAMES if "_sum_" in name or "_distinct_" in name}
VALUES |= dict.fromkeys(("hour_of_day", "is_weekend", "is_night"), 1)
ROW = feature_row(features=VALUES)
GOOD = {
    TRANSACTIONS: encode_transaction(transaction(device_type=None)),
    LABELS: encode_label(LABEL),
    FEATURES: encode_feature_row(replace(ROW, approximate=("a", "b"))),
    DECISIONS: encode_decision(
        replace(
            DECISION,
            definition_digest=ROW.definition_digest,
            features={**VALUES, "user_batch_count_90d": 4, "user_batch_mean_90d": 0.5},
            vector=[1.0, float("nan"), -0.0],
            reasons=("score 0.1 is not above 0.5",),
        )
    ),
}
NEW_VALUES = (
    *(b"0.1 -0.0 -0 0 1e5 1e16 1e400 -1e400 1e-400 5e-324 2.2250738585072011e-308".split()),
    *(b"9007199254740992 9007199254740993 9223372036854775807 9223372036854775808".split()),
    *(b"-9223372036854775808 -9223372036854775809 18446744073709551616 2147483648".split()),
    *(b"253402300799999 253402300800000 -5 1.0 1.5 00 1. .5 1e21 0.00001 NaN null".split()),
    *(b'true false "7" "x" [] {} [1,2.5,null] ["a"] ["a",null] {"a":{"b":[1]}}'.split()),
    *(b'"\\u00e9" "\\ud800" 100000.0 0.30000000000000004 7.2057594037927945e16'.split()),
    *(b"[" * 20 + b"]" * 20, "\u00fc\u007f".encode(), b"9" * 50),
)
_VALUE = re.compile(rb'(?<=:)(?:[-0-9.eE+]+|true|false|null|"[^"]*"|\[[^\[\]{}]*\]|\{[^{}]*\})')
_MEMBER = re.compile(rb'"[a-z0-9_]+":(?:[-0-9.eE+]+|true|false|null|"[^"]*"|\[[^\[\]{}]*\]),')
_OBJECT = re.compile(rb'"(?:features|timings|transaction|origin|model|features_offset)":\{')


def changed(rng: random.Random, value: bytes) -> bytes:
    """Another value, a member less, a member twice, an unknown member, or other bytes."""
    token = rng.choice(NEW_VALUES)
    pattern = rng.choice((_VALUE, _VALUE, _MEMBER, _OBJECT, None))
    found = list(pattern.finditer(value)) if pattern else []
    if not found:
        return mutated(rng, value)
    match = rng.choice(found)
    before, there, after = value[: match.start()], match.group(), value[match.end() :]
    if pattern is _VALUE:
        return before + token + after
    if pattern is _OBJECT:
        return before + there + b'"unknown":' + token + b"," + after
    return before + rng.choice((b"", there + there, there + b'"unknown":' + token + b",")) + after


def rows(topic: str, values: Sequence[bytes | None], limits: Limits = LIMITS) -> pa.Table:
    times_ms = (NOW_MS, -5, -(2**63), 2**63 - 1)
    records = [Record(at % 3, at, times_ms[at % 4], value) for at, value in enumerate(values)]
    batches = columns.to_batches(topic, records, limits=limits)
    return pa.Table.from_batches(batches, schema=SCHEMAS[topic])


def bits(table: pa.Table) -> list[object]:
    """Rows as values that differ where a bit differs; dates may be outside of Python's range."""
    numbers = {"event_time": pa.int64(), "event_date": pa.int32()}
    parts = {
        name: table[name].cast(numbers[name]) if name in numbers else table[name]
        for name in table.column_names
    }
    return [repr(row) for row in pa.table(parts).to_pylist()]


def leave_all(topic: str, values: Sequence[bytes | None], *, limits: Limits) -> PlainColumns:
    return PlainColumns({}, list(range(len(values))))


@pytest.mark.parametrize("topic", TABLES)
def test_the_engine_takes_what_weir_and_its_producers_write(topic: str) -> None:
    assert plain_columns(topic, [GOOD[topic]] * 3, limits=LIMITS).left == []
    assert plain_columns(topic, [GOOD[topic], None, b"{}"], limits=LIMITS).left == [1, 2]


@pytest.mark.parametrize("topic", TABLES)
@given(seed=st.integers(0, 2**32))
def test_rows_are_those_of_python_alone_and_in_order(topic: str, seed: int) -> None:
    rng = random.Random(seed)
    values: list[bytes | None] = [GOOD[topic], None]
    for _ in range(RECORDS_EACH):
        value = GOOD[topic]
        for _ in range(rng.choice((0, 1, 1, 1, 2))):
            value = changed(rng, value)
        values.append(value)
    limits = rng.choice((LIMITS, Limits(amount_minor_max=9, event_time_ms_min=NOW_MS)))
    together = rows(topic, values, limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "plain_columns", leave_all)
        alone = rows(topic, values, limits)
    assert together["log_offset"].to_pylist() == list(range(len(values)))
    for value, one, other in zip(values, bits(together), bits(alone), strict=True):
        assert one == other, value


def test_a_decision_keeps_features_without_a_column_as_they_are_written() -> None:
    (text,) = rows(DECISIONS, [GOOD[DECISIONS]])["other_features"].to_pylist()
    assert text == '{"user_batch_count_90d":4,"user_batch_mean_90d":0.5}'
    wanted = orjson.loads(GOOD[DECISIONS])["timings"]
    (timings,) = rows(DECISIONS, [GOOD[DECISIONS]])["timings"].to_pylist()
    assert timings == orjson.dumps(wanted).decode()
