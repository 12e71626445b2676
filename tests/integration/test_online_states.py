"""What `weir parity` reads from Redis: the entities of one project, and nothing beside them."""

from __future__ import annotations

import pytest
from redis import Redis

from features.definitions import Entity
from features.online.layout import entity_key
from operations.parity.sources.online_states import OnlineStates, OnlineStatesUnreachableError
from tests.services import Services, unique_name

IDS = ("u-1", "*", "a[b]?\\", "ü😀", "x" * 128, "weir")


@pytest.mark.parametrize("entity", ["user", "merchant"])
def test_ids_and_hashes_are_those_of_the_project_and_the_entity(
    redis_server: Services, entity: Entity
) -> None:
    project = unique_name("proj-[*]")
    other: Entity = "merchant" if entity == "user" else "user"
    client = Redis.from_url(redis_server.redis_url)
    for number, each in enumerate(IDS):
        client.hset(entity_key(entity, each, project), mapping={b"field": b"%d" % number})
    client.hset(entity_key(other, "of-the-other", project), mapping={b"field": b"x"})
    client.hset(entity_key(entity, "elsewhere", f"other-{project}"), mapping={b"field": b"x"})
    client.set(f"weir:decision:{project}", b"{}")
    client.close()
    states = OnlineStates(redis_server.redis_url, project=project)
    assert sorted(states.ids(entity)) == sorted(IDS)
    found = states.read(entity, ["*", "unknown", "u-1"])
    assert found == [{b"field": b"1"}, {}, {b"field": b"0"}]
    states.close()


def test_a_redis_that_is_away_says_what_to_do() -> None:
    states = OnlineStates("redis://127.0.0.1:1/0", project="weir")
    with pytest.raises(OnlineStatesUnreachableError, match="--only"):
        states.ids("user")
