"""Feature rows and decisions come back as they were written, and broken ones are refused."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decision import PolicyRef, RolloutRef
from schemas.errors import InvalidEventError
from schemas.json_schema import all_schemas
from schemas.output_codec import (
    ROLLOUT_FIELDS,
    decode_decision,
    decode_feature_row,
    encode_decision,
    encode_feature_row,
)
from tests.builders import DECISION, FEATURE_ROW, transaction, wire, without

IN_ARM = replace(
    DECISION,
    rollout=RolloutRef("r-1", 3),
    arm="challenger",
    propensity=0.05,
    policy=PolicyRef("let_through", 0.01),
    model_ms=1.25,
)

SCHEMAS = all_schemas()


def test_feature_row_and_decision_come_back_as_they_were() -> None:
    assert decode_feature_row(encode_feature_row(FEATURE_ROW)) == FEATURE_ROW
    assert decode_decision(encode_decision(DECISION)) == DECISION


def test_a_repeat_and_a_transaction_without_optional_fields_come_back_in_a_feature_row() -> None:
    row = replace(FEATURE_ROW, repeat=True, transaction=transaction(device_type=None))
    assert decode_feature_row(encode_feature_row(row)) == row
    assert b"device_type" not in encode_feature_row(row)


def test_a_feature_row_is_read_whatever_this_deployment_accepts_today() -> None:
    old = replace(FEATURE_ROW, transaction=transaction(event_time_ms=0, currency="USD"))
    assert decode_feature_row(encode_feature_row(old)) == old


@pytest.mark.parametrize("name", ["feature-row", "decision"])
def test_what_is_written_has_exactly_the_fields_of_its_schema(name: str) -> None:
    encoded = {
        "feature-row": encode_feature_row(FEATURE_ROW),
        "decision": encode_decision(IN_ARM),
    }[name]
    assert list(json.loads(encoded)) == list(SCHEMAS[name]["properties"])


def test_no_value_in_a_vector_is_null_on_the_wire_and_nan_in_hand() -> None:
    encoded = encode_decision(replace(DECISION, vector=[1.0, math.nan]))
    assert json.loads(encoded)["vector"] == [1.0, None]
    vector = decode_decision(encoded).vector
    assert vector is not None
    assert vector[0] == 1.0
    assert math.isnan(vector[1])


def test_a_decision_without_vector_comes_back() -> None:
    heuristic = replace(DECISION, vector=None)
    assert decode_decision(encode_decision(heuristic)) == heuristic


scores = st.floats(min_value=0, max_value=1)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)


@given(scores, st.dictionaries(st.text(max_size=5), st.none() | numbers, max_size=4))
def test_every_score_and_feature_comes_back_to_the_last_bit(
    score: float, features: dict[str, int | float | None]
) -> None:
    decision = replace(DECISION, score=score, features=features)
    assert decode_decision(encode_decision(decision)) == decision


def test_a_decision_of_before_there_were_batch_features_has_none() -> None:
    obj = json.loads(encode_decision(replace(DECISION, batch_as_of_ms=7)))
    assert decode_decision(wire(obj)).batch_as_of_ms == 7
    assert decode_decision(wire(without(obj, "batch_as_of_ms"))).batch_as_of_ms is None
    assert decode_decision(encode_decision(DECISION)).batch_as_of_ms is None
    with pytest.raises(InvalidEventError, match="batch_as_of_ms"):
        decode_decision(wire({**obj, "batch_as_of_ms": "7"}))


def test_a_decision_of_before_there_were_merchants_and_rules_is_read() -> None:
    obj = json.loads(encode_decision(DECISION))
    earlier = decode_decision(wire(without(without(obj, "merchant_id"), "matched_rules")))
    assert earlier == replace(DECISION, merchant_id=None, matched_rules=())


def test_a_decision_without_its_vector_says_by_what_it_follows() -> None:
    names = ("inputs", "vector_spec", "vector_digest")
    decision = replace(
        DECISION,
        vector=None,
        inputs={"amount_minor": 1_999, "ip_country": "DE"},
        vector_spec="0123456789abcdef",
        vector_digest="fedcba9876543210",
    )
    assert decode_decision(encode_decision(decision)) == decision
    obj = json.loads(encode_decision(DECISION))
    assert [obj.pop(name) for name in names] == [None, None, None]
    assert decode_decision(wire(obj)) == DECISION


def test_a_decision_of_a_rollout_says_what_it_was_assigned_to() -> None:
    assert decode_decision(encode_decision(IN_ARM)) == IN_ARM
    of_repeat = replace(IN_ARM, policy=None, model_ms=None)
    assert decode_decision(encode_decision(of_repeat)) == of_repeat
    assert json.loads(encode_decision(of_repeat))["model_ms"] is None


def test_a_decision_without_a_rollout_has_no_field_of_one_and_is_read_with_nulls() -> None:
    obj = json.loads(encode_decision(DECISION))
    assert list(obj)[-1] == "vector_digest"
    assert decode_decision(wire({**obj, **dict.fromkeys(ROLLOUT_FIELDS)})) == DECISION


@pytest.mark.parametrize(
    "broken",
    [
        {"merchant_id": 7},
        {"merchant_id": " "},
        {"matched_rules": [1]},
        {"inputs": []},
        {"inputs": {"amount_minor": 1.5}},
        {"inputs": {"amount_minor": True}},
        {"vector_spec": 7},
        {"vector_digest": 7},
        {"rollout": "r-1"},
        {"arm": 7},
        {"propensity": "1"},
        {"policy": {"name": "mood", "propensity": 1}},
        {"policy": {"name": "let_through"}},
        {"model_ms": True},
    ],
)
def test_a_decision_with_a_newer_field_of_another_type_is_refused(
    broken: dict[str, object],
) -> None:
    obj = json.loads(encode_decision(DECISION))
    with pytest.raises(InvalidEventError, match=next(iter(broken))):
        decode_decision(wire({**obj, **broken}))


# --- broken records of our own ---------------------------------------------------------

OWN = {
    "feature row": (decode_feature_row, encode_feature_row(FEATURE_ROW)),
    "decision": (decode_decision, encode_decision(DECISION)),
}
NEWER_FIELDS = {
    *("batch_as_of_ms", "merchant_id", "matched_rules"),
    *("inputs", "vector_spec", "vector_digest"),
    *ROLLOUT_FIELDS,
}
"""Fields that earlier decisions do not have."""


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"[]", b"null", b"\xff", b'{"a": NaN}', b"[" * 5_000]
)
def test_a_record_of_ours_that_is_no_json_object_is_an_invalid_event(
    name: str, value: bytes | None
) -> None:
    decode, _ = OWN[name]
    with pytest.raises(InvalidEventError):
        decode(value)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (name, field)
        for name, (_, encoded) in OWN.items()
        for field in json.loads(encoded)
        if field not in NEWER_FIELDS
    ],
)
def test_a_record_of_ours_without_a_field_or_with_another_type_is_refused(
    name: str, field: str
) -> None:
    decode, encoded = OWN[name]
    obj = json.loads(encoded)
    for broken in (without(obj, field), {**obj, field: object_of_another_type(obj[field])}):
        with pytest.raises(InvalidEventError) as caught:
            decode(wire(broken))
        assert caught.value.field == field


def object_of_another_type(value: object) -> object:
    """Something that this field never is; a list holds numbers in texts."""
    return {"x": "y"} if not isinstance(value, dict) else ["x"]


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("feature row", ("transaction", "user_id"), 5),
        ("feature row", ("transaction", "amount_minor"), -1),
        ("feature row", ("origin", "offset"), "41"),
        ("feature row", ("features", "other"), "3"),
        ("feature row", ("features", "other"), True),
        ("feature row", ("approximate", 0), 1),
        ("decision", ("decision",), "MAYBE"),
        ("decision", ("score",), -0.001),
        ("decision", ("score",), 1.001),
        ("decision", ("score",), True),
        ("decision", ("model", "version"), 3),
        ("decision", ("features_offset", "partition"), None),
        ("decision", ("vector", 0), "1"),
        ("decision", ("timings", "features_at_ms"), 1.5),
        ("decision", ("reasons", 0), None),
    ],
)
def test_a_wrong_value_inside_a_record_of_ours_is_refused(
    name: str, path: tuple[str | int, ...], value: object
) -> None:
    decode, encoded = OWN[name]
    obj = json.loads(encoded)
    inner = obj
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(InvalidEventError):
        decode(wire(obj))


@pytest.mark.parametrize("score", [0, 1, 0.0, 1.0])
def test_a_score_on_its_limits_is_read_as_a_float(score: float) -> None:
    obj = {**json.loads(encode_decision(DECISION)), "score": score}
    read = decode_decision(wire(obj)).score
    assert type(read) is float
    assert read == score


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_of_ours_or_an_invalid_event(value: bytes) -> None:
    for decode in (decode_feature_row, decode_decision):
        with pytest.raises(InvalidEventError):
            decode(value)
