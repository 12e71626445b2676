"""Redis is emptied under load: every state comes back, and the decisions are undisturbed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from features.engine.plan import ENTITIES
from features.online.rewrite import RewriteProgress, progress_field, progress_key
from infra.local.job_health import read_job_health
from infra.local.layout import REPO
from schemas import topics
from schemas.settings import environment_of
from streams.velocity.online_rewrite import SLICE_KEYS_MAX
from tests.chaos.test_kill import WHAT_A_REPEAT_REPEATS, assert_nothing_lost, kill
from tests.idle_users import IdleUsers, ask, eventually, running_job
from tests.services import Services
from tests.topic_tail import tail
from tests.traffic import Traffic

RATE = 100.0
PARITY_S_MAX = 900
COMPARED = ("decisions", "online_users", "online_merchants")


@pytest.fixture(scope="module")
def client(weir_stack: Services) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(weir_stack.redis_url, socket_timeout=2)
    yield client
    client.close()


@pytest.fixture(scope="module")
def idle_keys(weir_stack: Services, client: redis.Redis, idle_users: IdleUsers) -> list[bytes]:
    """Keys of states that are not in the job's memory any more."""
    assert weir_stack.stack is not None
    if weir_stack.stack.pid("taskmanager") == idle_users.taskmanager:
        client.delete(progress_key(weir_stack.settings.feast_project))
        kill(weir_stack, "taskmanager")
        done = wait_for_rewrite(weir_stack, client, "the velocity job has started")
        assert done["user"].keys >= len(idle_users.keys)
    return idle_users.keys


def wait_for_rewrite(
    services: Services, client: redis.Redis, reason: str
) -> dict[str, RewriteProgress]:
    """Wait until each entity was written for this reason."""
    found: dict[str, RewriteProgress] = {}

    def is_done() -> bool:
        for planned in ENTITIES:
            field = progress_field(planned.entity, 0)
            try:
                value = client.hget(progress_key(services.settings.feast_project), field)
            except redis.RedisError:
                return False
            if value is not None:
                found[planned.entity] = RewriteProgress.decode(value)
        return len(found) == len(ENTITIES) and all(
            each.is_done and each.reason == reason for each in found.values()
        )

    eventually(is_done, lambda: found)
    return found


def flush(services: Services, client: redis.Redis) -> str:
    client.flushall()
    return "Redis has lost its data"


def restart_empty(services: Services, client: redis.Redis) -> str:
    """Restart Redis without its file; the supervisor starts it again."""
    client.config_set("appendonly", "no")
    directory = services.settings.data_dir / "redis" / "appendonlydir"
    assert directory.exists()
    shutil.rmtree(directory)
    before = client.info("server")["run_id"]
    client.shutdown(nosave=True)

    def is_another() -> bool:
        try:
            return bool(client.info("server")["run_id"] != before)
        except redis.RedisError:
            return False

    eventually(is_another, lambda: before)
    return "Redis has lost its data"


@pytest.mark.parametrize("lose", [flush, restart_empty])
def test_every_state_is_back_and_the_traffic_is_undisturbed(
    weir_stack: Services,
    client: redis.Redis,
    idle_keys: list[bytes],
    lose: Callable[[Services, redis.Redis], str],
) -> None:
    settings = weir_stack.settings
    failed_at_ms = read_job_health(settings.flink_rest_url).failed_at_ms
    with tail(weir_stack.kafka_bootstrap, topics.DECISIONS) as decisions:
        with Traffic(weir_stack.kafka_bootstrap, rate=RATE, users=40) as traffic:
            time.sleep(2)
            reason = lose(weir_stack, client)
            done = wait_for_rewrite(weir_stack, client, reason)
            assert client.exists(*idle_keys) == len(idle_keys)
            time.sleep(2)
        assert_nothing_lost(decisions, traffic.sent, repeats_agree_in=WHAT_A_REPEAT_REPEATS)
    print(done)
    assert done["user"].keys >= len(idle_keys)
    for progress in done.values():
        assert progress.keys <= SLICE_KEYS_MAX * progress.slices
    assert read_job_health(settings.flink_rest_url).failed_at_ms == failed_at_ms
    # Flink collects its metrics every few seconds.
    wanted = sum(each.keys for each in done.values())
    eventually(lambda: counted(settings.flink_rest_url) >= wanted, lambda: wanted)


@pytest.mark.timeout(2 * PARITY_S_MAX)
def test_the_states_that_are_back_are_exact(weir_stack: Services, idle_keys: list[bytes]) -> None:
    report = parity(weir_stack)
    for name in ("feature_log", *COMPARED):
        surface = report["surfaces"][name]
        assert (surface["mismatched"], surface["missing"], surface["extra"]) == (0, 0, 0), report
    assert report["surfaces"]["online_users"]["checked"] >= len(idle_keys) * 17


def test_weir_online_rebuild_writes_states_whose_loss_is_not_noticed(
    weir_stack: Services, client: redis.Redis, idle_keys: list[bytes]
) -> None:
    assert client.delete(*idle_keys) == len(idle_keys)
    done = weir(weir_stack, "online", "rebuild")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all states are in Redis: merchant/0 " in done.stdout
    assert client.exists(*idle_keys) == len(idle_keys)


def counted(rest_url: str) -> int:
    """The job's metric of keys that were written again, over all its operators."""
    job = running_job(rest_url)
    total = 0
    for vertex in ask(f"{rest_url}/jobs/{job}")["vertices"]:
        url = f"{rest_url}/jobs/{job}/vertices/{vertex['id']}/metrics"
        names = [each["id"] for each in ask(url) if each["id"].endswith("onlineRewrittenKeys")]
        if names:
            total += sum(int(each["value"]) for each in ask(f"{url}?get={','.join(names)}"))
    return total


def parity(services: Services) -> dict[str, Any]:
    only = [part for name in COMPARED for part in ("--only", name)]
    done = weir(services, "parity", "--json", *only)
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def weir(services: Services, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infra.cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=PARITY_S_MAX,
        cwd=REPO,
        env={**os.environ, **environment_of(services.settings)},
    )
