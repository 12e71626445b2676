"""Every field of a record is in its row of the archive."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import orjson
import pyarrow as pa
import pytest

from clients.log_record import Record
from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas.codec import encode_label, encode_transaction
from schemas.output_codec import encode_decision, encode_feature_row
from schemas.topics import DECISIONS, FEATURES, LABELS, TRANSACTIONS
from tests.builders import DECISION, LABEL, LIMITS, NOW_MS, TRANSACTION, transaction
from tests.scoring_fakes import feature_row
from training.archive.columns import to_batches
from training.archive.tables import SCHEMAS, TABLES

WHOLE_DECISION = replace(
    DECISION,
    definition_digest=DEFINITION_DIGEST,
    features=dict.fromkeys(FEATURE_NAMES, 7),
    vector=[1.0, float("nan")],
)
GOOD = {
    TRANSACTIONS: encode_transaction(TRANSACTION),
    LABELS: encode_label(LABEL),
    FEATURES: encode_feature_row(feature_row(features={"user_amount_mean_5m": None})),
    DECISIONS: encode_decision(WHOLE_DECISION),
}


def table(topic: str, *values: bytes | None) -> pa.Table:
    records = [Record(1, offset, NOW_MS + offset, value) for offset, value in enumerate(values)]
    batches = to_batches(topic, records, limits=LIMITS)
    return pa.Table.from_batches(batches, schema=SCHEMAS[topic]).sort_by("log_offset")


@pytest.mark.parametrize("topic", TABLES)
def test_a_row_has_its_log_offset_and_its_day(topic: str) -> None:
    (row,) = table(topic, GOOD[topic]).to_pylist()
    assert (row["log_partition"], row["log_offset"], row["log_timestamp_ms"]) == (1, 0, NOW_MS)
    assert row["is_readable"]
    assert row["unread"] is None
    assert row["event_time"].timestamp() * 1_000 == row["event_time_ms"]
    assert row["event_date"] == row["event_time"].date()


@pytest.mark.parametrize(
    ("timestamp_ms", "year"),
    [(-(2**63), 1970), (-5, 1970), (-1, 1970), (0, 1970), (NOW_MS, 2026), (2**63 - 1, 9999)],
)
def test_a_record_that_cannot_be_read_has_a_day_whatever_its_timestamp(
    timestamp_ms: int, year: int
) -> None:
    (batch,) = to_batches(TRANSACTIONS, [Record(1, 0, timestamp_ms, b"\xff")], limits=LIMITS)
    (row,) = batch.to_pylist()
    assert row["event_date"].year == year
    assert row["log_timestamp_ms"] == timestamp_ms


def test_a_transaction_keeps_every_field() -> None:
    bare = transaction(device_type=None, ip_country=None)
    rows = table(TRANSACTIONS, GOOD[TRANSACTIONS], encode_transaction(bare)).to_pylist()
    for row, wanted in zip(rows, (TRANSACTION, bare), strict=True):
        assert {name: row[name] for name in wanted.__slots__} == {
            name: getattr(wanted, name) for name in wanted.__slots__
        }


def test_a_label_keeps_every_field() -> None:
    (row,) = table(LABELS, GOOD[LABELS]).to_pylist()
    assert {name: row[name] for name in LABEL.__slots__} == {
        name: getattr(LABEL, name) for name in LABEL.__slots__
    }


def test_a_feature_row_keeps_every_field_and_no_value_is_null() -> None:
    wanted = orjson.loads(GOOD[FEATURES])
    (row,) = table(FEATURES, GOOD[FEATURES]).to_pylist()
    assert {name: row[name] for name in FEATURE_NAMES} == wanted["features"]
    assert row["user_amount_mean_5m"] is None
    assert {name: row[name] for name in wanted["transaction"]} == wanted["transaction"]
    assert {f"origin_{name}": row[f"origin_{name}"] for name in wanted["origin"]} == {
        f"origin_{name}": value for name, value in wanted["origin"].items()
    }
    flat = wanted.keys() - {"transaction", "features", "origin"}
    assert {name: row[name] for name in flat} == {name: wanted[name] for name in flat}


def test_a_decision_keeps_every_field() -> None:
    wanted = orjson.loads(GOOD[DECISIONS])
    (row,) = table(DECISIONS, GOOD[DECISIONS]).to_pylist()
    assert {name: row[name] for name in FEATURE_NAMES} == wanted["features"]
    assert row["vector"] == [1.0, None]
    assert orjson.loads(row["timings"]) == wanted["timings"]
    assert [row["model_name"], row["model_version"], row["model_digest"]] == list(
        wanted["model"].values()
    )
    assert [row["features_partition"], row["features_offset"]] == list(
        wanted["features_offset"].values()
    )
    flat = wanted.keys() - {"features", "model", "features_offset", "timings", "vector"}
    assert {name: row[name] for name in flat} == {name: wanted[name] for name in flat}


BROKEN = (
    None,
    b"",
    b"junk",
    b"[]",
    b"{}",
    b'{"transaction_id": 7}',
)


@pytest.mark.parametrize("topic", TABLES)
def test_unreadable_records_are_kept_as_bytes_beside_readable_ones(topic: str) -> None:
    rows = table(topic, *BROKEN, GOOD[topic]).to_pylist()
    assert [row["is_readable"] for row in rows] == [False] * len(BROKEN) + [True]
    assert [row["unread"] for row in rows] == [*BROKEN, None]
    assert rows[0]["event_time"].timestamp() * 1_000 == NOW_MS


def test_a_feature_row_that_lacks_a_feature_is_kept_as_bytes() -> None:
    broken = orjson.loads(GOOD[FEATURES])
    del broken["features"]["user_amount_mean_5m"]
    value = orjson.dumps(broken)
    assert table(FEATURES, value)["unread"].to_pylist() == [value]


def test_a_transaction_that_the_stream_refuses_is_kept_as_bytes() -> None:
    value = encode_transaction(transaction(currency="USD"))
    assert table(TRANSACTIONS, value)["unread"].to_pylist() == [value]


def test_features_of_other_definitions_are_kept() -> None:
    other = orjson.loads(GOOD[FEATURES])
    other["definition_digest"] = "another"
    other["features"] = {"user_transaction_count_5m": 5, "user_amount_sum_3d": 9}
    (row,) = table(FEATURES, orjson.dumps(other)).to_pylist()
    assert row["user_transaction_count_5m"] == 5
    assert row["user_transaction_count_1h"] is None
    assert orjson.loads(row["other_features"]) == {"user_amount_sum_3d": 9}


@pytest.mark.parametrize("topic", TABLES)
def test_rows_do_not_depend_on_the_batches_of_their_records(topic: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    values = [rng.choice((*BROKEN, GOOD[topic], GOOD[topic])) for _ in range(60)]
    records = [Record(0, offset, NOW_MS, value) for offset, value in enumerate(values)]
    cuts = sorted({0, len(records), *(rng.randrange(len(records)) for _ in range(9))})
    parts = [records[start:stop] for start, stop in itertools.pairwise(cuts)]
    assert in_order(topic, parts).equals(in_order(topic, [records]))


def in_order(topic: str, parts: list[list[Record]]) -> pa.Table:
    batches = [batch for part in parts for batch in to_batches(topic, part, limits=LIMITS)]
    return pa.Table.from_batches(batches, schema=SCHEMAS[topic]).sort_by("log_offset")
