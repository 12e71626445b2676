"""Our bytes in Redis against Feast's own: serialisers, a Feast client, and the guarded write."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from features.definitions import DEFINITION_DIGEST, MERCHANT_FEATURES, USER_FEATURES, Entity
from features.engine.state import MerchantState, UserState, Values
from features.online import feast_values
from features.online import layout as online_store
from tests.services import Services

START = 1_795_392_000_123
FEATURES = {"user": USER_FEATURES, "merchant": MERCHANT_FEATURES}
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)


@given(value=texts, project=texts, entity=st.sampled_from(["user", "merchant"]))
def test_the_key_is_feasts_own(value: str, project: str, entity: Entity) -> None:
    from feast.infra.online_stores.helpers import _redis_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    join_key = online_store.JOIN_KEYS[entity]
    key = EntityKey(join_keys=[join_key], entity_values=[Value(string_val=value)])
    assert online_store.entity_key(entity, value, project) == _redis_key(project, key)


@pytest.mark.parametrize("entity", ["user", "merchant"])
def test_the_fields_are_feasts_own(entity: Entity) -> None:
    from feast.infra.online_stores.helpers import _mmh3

    view = online_store.VIEWS[entity]
    names = [online_store.STATE_FEATURE, *(feature.name for feature in FEATURES[entity])]
    for name in names:
        assert online_store.field_name(view, name) == _mmh3(f"{view}:{name}")


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=300),
    # What datetime can hold, 0001 to 9999.
    st.integers(-62_135_596_800_000, 253_402_300_799_999),
)
def test_the_values_are_feasts_own(whole: int, number: float, data: bytes, time_ms: int) -> None:
    from feast.protos.feast.types.Value_pb2 import Value
    from google.protobuf.timestamp_pb2 import Timestamp

    assert feast_values.int64_value(whole) == Value(int64_val=whole).SerializeToString()
    assert feast_values.double_value(number) == Value(double_val=number).SerializeToString()
    assert feast_values.bytes_value(data) == Value(bytes_val=data).SerializeToString()
    assert Value().SerializeToString() == feast_values.NULL_VALUE
    timestamp = Timestamp()
    timestamp.FromMilliseconds(time_ms)
    assert feast_values.timestamp_value(time_ms) == timestamp.SerializeToString()


@pytest.fixture
def project() -> str:
    return f"layout{uuid.uuid4().hex}"


@pytest.fixture
def client(redis_server: Services) -> Any:
    with redis.Redis.from_url(redis_server.redis_url) as client:
        yield client


def filled(entity: Entity) -> UserState | MerchantState:
    if entity == "user":
        user = UserState()
        for n in range(3):
            user.fold(
                transaction_id=f"tx-{n}",
                merchant_id=f"m-{n % 2}",
                amount_minor=10**n,
                event_time_ms=START + n,
            )
        return user
    merchant = MerchantState()
    for n in range(3):
        merchant.fold_transaction(
            transaction_id=f"tx-{n}", event_time_ms=START + n * 4 * 86_400_000, is_repeat=False
        )
    return merchant


def write(
    client: redis.Redis, key: bytes, entity: Entity, *, values: Values, sequence: int, state: bytes
) -> int:
    fields = online_store.hash_fields(
        entity, values, state=state, sequence=sequence, event_time_ms=START
    )
    arguments = online_store.write_arguments(entity, [key], [*fields.values()])
    return int(client.eval(online_store.WRITE_SCRIPT, *arguments))


def write_sequence(client: redis.Redis, key: bytes, sequence: int) -> int:
    """Write a state that tells by its bytes which sequence it is of."""
    values = UserState().read(as_of_ms=START)
    return write(client, key, "user", values=values, sequence=sequence, state=b"%d" % sequence)


def stored(client: redis.Redis, key: bytes) -> online_store.OnlineEntity | None:
    asked: Any = client.hmget(key, online_store.state_fields("user"))
    return online_store.decode_values("user", asked)


@pytest.mark.parametrize(("sequence", "wins"), [(8, False), (9, False), (10, True), (11, True)])
def test_a_write_wins_only_with_a_higher_sequence(
    client: redis.Redis, project: str, sequence: int, *, wins: bool
) -> None:
    key = online_store.entity_key("user", "u", project)
    assert write_sequence(client, key, 9) == 1
    before = client.hgetall(key)
    assert write_sequence(client, key, sequence) == wins
    after = stored(client, key)
    assert after is not None
    assert after.sequence == (sequence if wins else 9)
    assert after.state == (b"%d" % after.sequence)
    assert after.digest == DEFINITION_DIGEST
    assert wins or client.hgetall(key) == before


def test_each_key_of_a_write_is_guarded_by_itself(client: redis.Redis, project: str) -> None:
    keys = [online_store.entity_key("user", f"u{number}", project) for number in range(3)]
    write_sequence(client, keys[1], 9)
    values = UserState().read(as_of_ms=START)
    fields = online_store.hash_fields("user", values, state=b"5", sequence=5, event_time_ms=START)
    arguments = online_store.write_arguments("user", keys, 3 * [*fields.values()])
    assert client.eval(online_store.WRITE_SCRIPT, *arguments) == 2
    found = [stored(client, key) for key in keys]
    assert [entity.sequence for entity in found if entity is not None] == [5, 9, 5]
    assert client.hgetall(keys[0]) == fields


def test_sequences_are_compared_as_numbers(client: redis.Redis, project: str) -> None:
    key = online_store.entity_key("user", "u", project)
    assert write_sequence(client, key, 2**53 - 1) == 1
    assert write_sequence(client, key, 999) == 0


def test_a_state_of_other_definitions_is_overwritten_whatever_its_sequence(
    client: redis.Redis, project: str
) -> None:
    key = online_store.entity_key("user", "u", project)
    write_sequence(client, key, 9)
    client.hset(key, online_store.digest_field("user_velocity").decode(), "0" * 16)
    assert write_sequence(client, key, 1) == 1
    after = stored(client, key)
    assert after is not None
    assert (after.sequence, after.state, after.digest) == (1, b"1", DEFINITION_DIGEST)


def test_a_write_leaves_the_other_views_of_the_entity_alone(
    client: redis.Redis, project: str
) -> None:
    key = online_store.entity_key("user", "u", project)
    client.hset(key, "_ts:user_statistics", "theirs")
    write_sequence(client, key, 1)
    assert client.hget(key, "_ts:user_statistics") == b"theirs"


def test_a_state_read_from_redis_is_the_state_that_was_written(
    client: redis.Redis, project: str
) -> None:
    state = filled("user")
    key = online_store.entity_key("user", "u", project)
    values = state.read(as_of_ms=START + 2)
    write(client, key, "user", values=values, sequence=3, state=state.encode_online())
    whole: Any = client.hgetall(key)
    entity = online_store.decode_hash("user", whole)
    assert entity == stored(client, key)
    assert entity is not None
    assert UserState.decode(entity.state).read(as_of_ms=START + 2) == values


@pytest.fixture
def feast_store(redis_server: Services, project: str, tmp_path: Path) -> Any:
    """A feature store of another project, with our two views in it."""
    from feast import Entity as FeastEntity
    from feast import FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Bytes, Float64, Int64

    host_port = redis_server.redis_url.removeprefix("redis://").partition("/")[0]
    config = RepoConfig(
        project=project,
        provider="local",
        registry=str(tmp_path / "registry.db"),
        online_store={"type": "redis", "connection_string": host_port},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    source = FileSource(path=str(tmp_path / "none.parquet"), timestamp_field="event_time")
    types = {"int64": Int64, "double": Float64}
    for entity, view in online_store.VIEWS.items():
        join_key = online_store.JOIN_KEYS[entity]
        feast_entity = FeastEntity(name=entity, join_keys=[join_key], value_type=ValueType.STRING)
        schema = [Field(name=f.name, dtype=types[f.value_type]) for f in FEATURES[entity]]
        schema.append(Field(name=online_store.STATE_FEATURE, dtype=Bytes))
        feature_view = FeatureView(
            name=view, entities=[feast_entity], schema=schema, source=source, ttl=timedelta(days=1)
        )
        store.apply([feast_entity, feature_view])
    return store


@pytest.mark.parametrize("entity", ["user", "merchant"])
def test_a_feast_client_reads_our_values(
    client: redis.Redis, project: str, feast_store: Any, entity: Entity
) -> None:
    state = filled(entity)
    newest_ms = state.newest_ms
    assert newest_ms is not None
    values = state.read(as_of_ms=newest_ms)
    key = online_store.entity_key(entity, "é-1", project)
    write(client, key, entity, values=values, sequence=3, state=state.encode_online())

    view, join_key = online_store.VIEWS[entity], online_store.JOIN_KEYS[entity]
    names = [online_store.STATE_FEATURE, *values.features]
    answer = feast_store.get_online_features(
        features=[f"{view}:{name}" for name in names],
        entity_rows=[{join_key: "é-1"}, {join_key: "never seen"}],
    )
    read = answer.to_dict(include_event_timestamps=True)
    assert {name: read[name][0] for name in values.features} == values.features
    assert read[online_store.STATE_FEATURE][0] == state.encode_online()
    assert {read[name][1] for name in names} == {None}
    assert read[f"{online_store.STATE_FEATURE}__ts"][0] == START // 1_000


def test_what_feast_itself_writes_into_our_view_reads_like_ours(
    client: redis.Redis, project: str, feast_store: Any
) -> None:
    import pandas as pd

    values = filled("user").read(as_of_ms=START + 2)
    row = {
        "user_id": "u",
        **values.features,
        "user_amount_mean_5m": None,
        "state": b"\x00\xff",
        "event_time": datetime.fromtimestamp(START / 1_000, tz=UTC),
    }
    feast_store.write_to_online_store("user_velocity", df=pd.DataFrame([row]))
    theirs: Any = client.hgetall(online_store.entity_key("user", "u", project))
    values.features["user_amount_mean_5m"] = None
    ours = online_store.hash_fields(
        "user", values, state=b"\x00\xff", sequence=3, event_time_ms=START
    )
    view = online_store.VIEWS["user"]
    del ours[online_store.sequence_field(view)], ours[online_store.digest_field(view)]
    assert theirs == ours
