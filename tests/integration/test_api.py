"""The API as a process of its own, over HTTP, with a real Redis behind it.

The API reaches Redis through a relay, so a test can cut the connection of this process alone.
"""

from __future__ import annotations

import json
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis

from clients.probes import wait_until
from features.engine.state import UserState
from features.online import layout as online_store
from infra.local.ports import free_ports
from infra.local.topics import create_topics
from schemas.settings import Settings
from scoring.http.answers.features import FeaturesAnswer
from scoring.http.answers.health import ReadyAnswer, RolloutReadiness
from scoring.http.answers.predict import PredictAnswer
from scoring.http.answers.rollout import RolloutAnswer
from scoring.stores.rollout_log import RolloutLog
from tests.api_process import WITHIN_S, ApiProcess, read_all
from tests.kept_decision import keep_decision, send_row
from tests.relay import Relay, relay_to
from tests.rollout_steps import start
from tests.scoring_fakes import feature_row
from tests.services import Services, unique_name


@pytest.fixture(scope="module")
def relay(redis_server: Services) -> Iterator[Relay]:
    address = urlsplit(redis_server.redis_url)
    assert address.hostname is not None
    assert address.port is not None
    with relay_to(address.hostname, address.port) as relay:
        yield relay


@pytest.fixture(scope="module")
def api(
    kafka: Services,
    redis_server: Services,
    relay: Relay,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ApiProcess]:
    create_topics(kafka.kafka_bootstrap, kafka.settings.topic_partitions)
    port, unused_port = free_ports(2)
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("api"),
        api_port=port,
        kafka_bootstrap=kafka.kafka_bootstrap,
        redis_url=f"redis://127.0.0.1:{relay.port}/0",
        mlflow_port=unused_port,
        feast_project=unique_name("weir"),
        # Long enough for a busy machine, short enough to wait for a Redis that hangs.
        redis_timeout_ms=1_000,
        api_deadline_ms=10_000,
    )
    process = ApiProcess(settings, settings.data_dir / "api.log")
    try:
        assert wait_until(process.is_live, timeout_s=WITHIN_S), process.log.read_text()
        yield process
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(WITHIN_S) == 0
        assert "Traceback" not in process.log.read_text()
    finally:
        process.popen.kill()
        process.popen.wait()


@pytest.fixture
def redis(redis_server: Services) -> Iterator[Redis]:
    with Redis.from_url(redis_server.redis_url) as client:
        yield client


@pytest.fixture(autouse=True)
def _network_is_back(relay: Relay) -> Iterator[None]:
    yield
    relay.restore()


def body(**changes: Any) -> dict[str, Any]:
    return {
        "user_id": "u-1",
        "merchant_id": "m-1",
        "amount_minor": 4_250,
        "currency": "EUR",
        **changes,
    }


def store_user(redis: Redis, project: str, user_id: str, *event_times_ms: int) -> UserState:
    state = UserState()
    for number, event_time_ms in enumerate(event_times_ms):
        values = state.fold(
            transaction_id=f"t-{number}",
            merchant_id="m-1",
            amount_minor=1_000,
            event_time_ms=event_time_ms,
        )
    fields = online_store.hash_fields(
        "user",
        values,
        state=state.encode_online(),
        sequence=state.sequence,
        event_time_ms=event_times_ms[-1],
    )
    key = online_store.entity_key("user", user_id, project)
    arguments = online_store.write_arguments("user", [key], [*fields.values()])
    redis.eval(online_store.WRITE_SCRIPT, *arguments)
    return state


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_user_written_by_the_velocity_job_is_scored_over_http(
    api: ApiProcess, redis: Redis
) -> None:
    user_id = unique_name("u")
    newest_ms = now_ms() - 60_000
    state = store_user(redis, api.settings.feast_project, user_id, newest_ms - 1, newest_ms)
    sent = body(user_id=user_id, transaction_id="next", event_time_ms=newest_ms + 1)
    response = httpx.post(f"{api.address}/predict", json=sent)
    answer = PredictAnswer.model_validate_json(response.content)
    expected = state.fold(
        transaction_id="next",
        merchant_id="m-1",
        amount_minor=4_250,
        event_time_ms=newest_ms + 1,
    )
    assert {name: answer.features[name] for name in expected.features} == expected.features
    assert answer.degraded == ["no_model"]
    assert answer.feature_age_ms.user is not None
    assert answer.feature_age_ms.user >= 60_000


def test_features_come_from_redis_and_decisions_from_redis_and_the_feature_log(
    api: ApiProcess, redis: Redis
) -> None:
    user_id = unique_name("u")
    store_user(redis, api.settings.feast_project, user_id, now_ms() - 60_000)
    response = httpx.get(f"{api.address}/features/{user_id}")
    answer = FeaturesAnswer.model_validate_json(response.content)
    assert answer.features["user_transaction_count_1h"] == 1

    transaction_id = unique_name("t")
    row = feature_row(transaction_id)
    place = send_row(api.settings.kafka_bootstrap, row)
    emitted = keep_decision(redis, row, place, now_s=now_ms() // 1_000)
    assert httpx.get(f"{api.address}/decisions/{transaction_id}").content == emitted


@pytest.mark.parametrize("trouble", ["cut", "hang"])
def test_every_route_answers_while_redis_is_away_and_after(
    api: ApiProcess, relay: Relay, redis: Redis, trouble: str
) -> None:
    user_id = unique_name("u")
    store_user(redis, api.settings.feast_project, user_id, now_ms() - 60_000)
    with httpx.Client(base_url=api.address) as client:
        before = client.post("/predict", json=body(user_id=user_id)).json()
        assert before["features"]["user_transaction_count_1h"] == 2

        getattr(relay, trouble)()
        during = client.post("/predict", json=body(user_id=user_id)).json()
        assert during["degraded"] == ["online_store_unavailable", "no_model"]
        assert during["features"]["user_transaction_count_1h"] == 1
        for path in (f"/features/{user_id}", "/decisions/t-1"):
            response = client.get(path)
            assert response.status_code == 503
            assert response.headers["retry-after"] == "1"
            assert "redis_timeout_ms=1000" in response.json()["detail"]
        ready = ReadyAnswer.model_validate_json(client.get("/ready").content)
        assert ready.redis.reachable is False
        assert client.get("/health").status_code == 200

        relay.restore()
        after = client.post("/predict", json=body(user_id=user_id)).json()
        assert after["degraded"] == ["no_model"]
        assert after["features"]["user_transaction_count_1h"] == 2


HEAD = b"POST /predict HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nothing of HTTP\r\n\r\n", b"400"),
        (b"GET /health HTTP/9.9\r\n\r\n", b"400"),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n", b"40"),
        (b"GET /features/%ff%fe HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n", b"404"),
        (HEAD + b"Content-Length: -5\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", b"400"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n", b"422"),
        (HEAD + b"Content-Length: 4000000\r\n\r\n" + 4_000_000 * b" ", b"413"),
    ],
)
def test_what_is_not_http_or_not_a_transaction_is_refused(
    api: ApiProcess, sent: bytes, status: bytes
) -> None:
    assert api.send(sent).startswith(b"HTTP/1.1 " + status)
    assert api.is_live()


def test_rollouts_are_followed_and_changed_over_http(api: ApiProcess) -> None:
    """Without MLflow, too: no arm gets traffic before its version is loaded."""
    name = unique_name("r")
    change = start(name, model_name=api.settings.model_name)
    RolloutLog(api.settings.kafka_bootstrap, source="/test").write(change)
    with httpx.Client(base_url=api.address, timeout=WITHIN_S) as client:

        def followed() -> RolloutReadiness | None:
            found = client.get("/ready").json()["rollout"]
            return found and RolloutReadiness.model_validate(found)

        assert wait_until(lambda: followed() is not None, timeout_s=WITHIN_S)
        waits = followed()
        assert waits is not None
        assert (waits.rollout_id, waits.strategy, waits.in_use) == (name, "ab", False)
        assert {arm.name: arm.loaded for arm in waits.arms} == {
            "control": False,
            "challenger": False,
        }
        answer = PredictAnswer.model_validate_json(client.post("/predict", json=body()).content)
        assert (answer.arm, answer.degraded) == (None, ["no_model"])
        shown = RolloutAnswer.model_validate_json(client.get(f"/rollouts/{name}").content)
        assert (shown.status, shown.why) == ("running", "a test. Said by ana.")
        ended = client.post(f"/rollouts/{name}/abort", json={"by": "ben", "reason": "enough"})
        assert ended.json()["why"] == "enough. Said by ben."
        assert wait_until(lambda: followed() is None, timeout_s=WITHIN_S)


def test_a_client_that_hangs_up_in_its_body_does_not_stop_the_service(api: ApiProcess) -> None:
    for _ in range(5):
        with api.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: 500\r\n\r\n{")
    assert api.is_live()


def test_start_and_stop_wait_only_for_requests_in_progress(
    redis_server: Services, tmp_path: Path
) -> None:
    port = free_ports(1)[0]
    with socket.create_server(("127.0.0.1", 0)) as registry_that_hangs:
        settings = Settings(
            data_dir=tmp_path,
            api_port=port,
            redis_url=redis_server.redis_url,
            mlflow_port=registry_that_hangs.getsockname()[1],
        )
        process = ApiProcess(settings, tmp_path / "api.log")
        try:
            assert wait_until(process.is_live, timeout_s=WITHIN_S), process.log.read_text()
            sent = json.dumps(body(transaction_id=uuid.uuid4().hex)).encode()
            with process.connect() as connection:
                connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(sent) + sent[:10])
                # Another request is answered, so the first one has been taken up, too.
                assert process.is_live()
                process.popen.send_signal(signal.SIGTERM)
                assert wait_until(process.is_shutting_down, timeout_s=WITHIN_S)
                connection.sendall(sent[10:])
                received = read_all(connection)
            assert received.startswith(b"HTTP/1.1 200")
            assert b"no_model" in received
            assert process.popen.wait(WITHIN_S) == 0
        finally:
            process.popen.kill()
            process.popen.wait()
    assert "Traceback" not in process.log.read_text()


def test_a_port_in_use_is_named(api: ApiProcess, tmp_path: Path) -> None:
    process = ApiProcess(api.settings, tmp_path / "api.log")
    try:
        assert process.popen.wait(WITHIN_S) != 0
    finally:
        process.popen.kill()
        process.popen.wait()
    assert str(api.settings.api_port) in process.log.read_text()
