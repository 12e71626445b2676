"""`weir online rebuild` with a real Redis: how it asks the job, and what Redis says meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import redis

from features.engine.plan import ENTITIES
from features.online.rewrite import (
    BY_HAND,
    RewriteProgress,
    marker_key,
    progress_field,
    progress_key,
)
from infra.local.online_state import read_online_state
from operations.online_rebuild import states
from operations.online_rebuild.states import NoRewriteError
from schemas.settings import Settings
from tests.services import Services, unique_name


@pytest.fixture(scope="module")
def settings(redis_server: Services) -> Settings:
    return redis_server.settings.model_copy(update={"feast_project": unique_name("rebuild")})


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    client = states.connect(settings)
    yield client
    client.close()


def answer(settings: Settings, client: redis.Redis, marker: str, *, is_done: bool) -> None:
    """Report what the writers of a job report."""
    for planned in ENTITIES:
        progress = RewriteProgress(marker, "a test", keys=7, slices=1, is_done=is_done)
        field = progress_field(planned.entity, 0)
        client.hset(progress_key(settings.feast_project), field, progress.encode())


def test_the_job_is_asked_by_another_marker_and_followed_to_its_end(
    settings: Settings, client: redis.Redis
) -> None:
    answer(settings, client, "an-earlier-one", is_done=True)
    marker = states.ask_for_rewrite(client, settings)
    assert marker.startswith(BY_HAND)
    assert client.get(marker_key(settings.feast_project)) == marker.encode()
    seen: list[dict[str, RewriteProgress]] = []

    def report() -> None:
        other = states.connect(settings)
        answer(settings, other, marker, is_done=False)
        while not seen:
            time.sleep(0.01)
        answer(settings, other, marker, is_done=True)
        other.close()

    job = threading.Thread(target=report)
    job.start()
    found = states.follow_rewrite(client, settings, marker, show=seen.append)
    job.join()
    assert {name: each.keys for name, each in found.items()} == {"user/0": 7, "merchant/0": 7}
    assert not any(each.is_done for each in seen[0].values())


def test_without_a_job_it_says_that_the_states_are_written_when_it_starts(
    settings: Settings, client: redis.Redis
) -> None:
    marker = states.ask_for_rewrite(client, settings)
    with pytest.raises(NoRewriteError, match=r"user/0, merchant/0 .* writes all states by itself"):
        states.follow_rewrite(client, settings, marker, taken_s_max=0.5)


def test_progress_that_cannot_be_read_is_left_out(settings: Settings, client: redis.Redis) -> None:
    answer(settings, client, "m", is_done=True)
    key = progress_key(settings.feast_project)
    client.hset(key, b"user/0", b"{}")
    client.hset(key, b"user/1", b"\xff")
    assert set(states.read_progress(client, settings)) == {"merchant/0"}


def test_a_policy_that_evicts_states_is_shown_and_so_is_a_rewrite_under_way(
    settings: Settings, client: redis.Redis
) -> None:
    answer(settings, client, "m", is_done=False)
    found = read_online_state(settings)
    assert not found.may_evict_states
    assert str(found).startswith("no limit of memory, policy ")
    before = client.config_get("maxmemory*")
    try:
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert not read_online_state(settings).may_evict_states
        client.config_set("maxmemory", 10**9)
        found = read_online_state(settings)
    finally:
        for name in ("maxmemory", "maxmemory-policy"):
            client.config_set(name, before[name])
    assert found.may_evict_states
    assert str(found).startswith("at most 1,000,000,000 bytes, policy allkeys-lru, ")
    assert found.under_way() == [
        f"writing all states of {name} to Redis, 7 keys so far: a test"
        for name in ("merchant/0", "user/0")
    ]


def test_a_redis_that_is_away_is_told_by_its_address(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with pytest.raises(OSError, match=r"Redis does not answer at redis://127\.0\.0\.1:1/0"):
        read_online_state(away)
