"""The bytes of the online store, against the examples of Feast 0.67 that were measured."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definitions import DEFINITION_DIGEST, MERCHANT_FEATURES, USER_FEATURES, Entity
from features.engine.state import MerchantState, UserState
from features.online import layout as online_store
from features.online.feast_values import double_value, int64_value
from features.online.layout import (
    OnlineEntity,
    OnlineStoreBytesError,
    decode_hash,
    decode_values,
    entity_key,
    field_name,
    hash_fields,
    hash_names,
    layout_json,
    state_fields,
    write_arguments,
)

TIME_MS = 1_795_392_000_123


def fields_of(
    entity: Entity, state: bytes = b"\x00\xff", event_time_ms: int = TIME_MS
) -> dict[bytes, bytes]:
    values = (UserState if entity == "user" else MerchantState)().read(as_of_ms=0)
    return hash_fields(entity, values, state=state, sequence=17, event_time_ms=event_time_ms)


def test_the_key_is_the_one_that_feast_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(online_store.JOIN_KEYS, "user", "card_id")
    assert entity_key("user", "c1", "fraud").hex() == (
        "010000000200000007000000636172645f6964020000000200000063316672617564"
    )


def test_a_field_is_the_one_that_feast_makes() -> None:
    assert field_name("card_velocity", "cnt_1h").hex() == "bc8e6e2d"


@pytest.mark.parametrize("entity", ["user", "merchant"])
def test_a_hash_holds_every_feature_the_state_the_time_and_the_guard(entity: Entity) -> None:
    view = online_store.VIEWS[entity]
    features = USER_FEATURES if entity == "user" else MERCHANT_FEATURES
    fields = fields_of(entity)
    assert set(fields) == {
        *(field_name(view, feature.name) for feature in features),
        *state_fields(entity),
    }
    assert len(set(fields)) == len(features) + 4
    assert fields[online_store.sequence_field(view)] == b"17"
    assert fields[online_store.digest_field(view)] == DEFINITION_DIGEST.encode()


def test_a_whole_number_stays_one_and_the_mean_of_nothing_is_null() -> None:
    fields = fields_of("user")
    assert fields[field_name("user_velocity", "user_amount_sum_1h")] == int64_value(0)
    assert fields[field_name("user_velocity", "user_amount_mean_1h")] == b""
    fields = fields_of("merchant")
    rate = fields[field_name("merchant_risk", "merchant_fraud_rate_1d_delay_7d")]
    assert rate == double_value(0.0)


def test_the_guard_comes_first_where_the_script_looks_for_it() -> None:
    values = [*fields_of("user").values()]
    arguments = write_arguments("user", [b"a", b"b"], [*values, *values])
    names = hash_names("user")
    guard = (b"_weir_sequence:user_velocity", b"_weir_digest:user_velocity")
    assert arguments == [2, b"a", b"b", len(names), *names, *values, *values]
    assert names[:2] == guard
    assert values[:2] == [b"17", DEFINITION_DIGEST.encode()]


@pytest.mark.parametrize("entity", ["user", "merchant"])
def test_a_hash_has_its_fields_in_the_order_of_their_names(entity: Entity) -> None:
    assert tuple(fields_of(entity)) == hash_names(entity)


@pytest.mark.parametrize("entity", ["user", "merchant"])
def test_the_layout_for_the_engine_makes_the_same_keys(entity: Entity) -> None:
    layout = json.loads(layout_json(entity, "weir-ü"))
    length = len("ü1".encode()).to_bytes(4, "little")
    key = bytes(layout["key_prefix"]) + length + "ü1".encode() + bytes(layout["key_suffix"])
    assert key == entity_key(entity, "ü1", "weir-ü")


@given(st.binary(max_size=300), st.integers(-(10**15), 10**15))
def test_what_is_written_is_read(state: bytes, event_time_ms: int) -> None:
    fields = fields_of("user", state, event_time_ms)
    assert decode_hash("user", fields) == OnlineEntity(state, 17, event_time_ms, DEFINITION_DIGEST)


def test_an_entity_never_written_is_none() -> None:
    assert decode_values("user", [None] * 4) is None
    assert decode_hash("user", {b"_ts:user_statistics": b""}) is None


# No bytes are the time 0, and any text may be the digest of other definitions.
@pytest.mark.parametrize(
    ("at", "value"),
    [
        *((at, None) for at in range(4)),
        *((0, value) for value in (b"", b"\x0a", b"\x0a\x05ab", b"\x0a\x01ab", b"\x12\x01a")),
        *((1, value) for value in (b"", b"x", b"1.5")),
        *((2, value) for value in (b"\x0a\x05ab", b"\x08", b"\x08\xff", b"\xff")),
        (3, b"\xff"),
    ],
)
def test_fields_that_the_velocity_job_did_not_write_are_refused(
    at: int, value: bytes | None
) -> None:
    fields = fields_of("merchant")
    values: list[bytes | None] = [fields[name] for name in state_fields("merchant")]
    values[at] = value
    with pytest.raises(OnlineStoreBytesError, match="stored merchant"):
        decode_values("merchant", values)
