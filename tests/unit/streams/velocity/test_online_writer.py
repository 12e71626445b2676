"""What the writer of online states does when Redis fails, without Redis."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
import redis

from features.engine.job import KeptStates
from features.engine.plan import ENTITIES
from features.online.layout import entity_key
from schemas.settings import Settings
from streams.velocity import online_writer
from streams.velocity.online_writer import OnlineWriter, open_writer
from tests.builders import LIMITS, NOW_MS, transaction_object, wire
from tests.journaled_stage import JournaledStage
from tests.unit.streams.velocity.test_record_frame import framed

USER = 0
WAIT_S_MAX = 20.0


class FakeRedis:
    """Accepts writes, or refuses the next ones; a server that was emptied has another marker."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.written: list[list[bytes]] = []
        self.marker = b"m"
        self.has_written = threading.Semaphore(0)

    def script_load(self, script: str) -> str:
        return "sha"

    def execute_command(self, *arguments: Any) -> int:
        if self.failures:
            self.failures -= 1
            raise redis.ConnectionError("away")
        _, _, count, *keys = arguments
        self.written.append(keys[:count])
        self.has_written.release()
        return int(count)

    def pipeline(self, *, transaction: bool) -> FakeRedis:
        return self

    def get(self, key: bytes) -> FakeRedis:
        return self

    def info(self, section: str) -> FakeRedis:
        return self

    def execute(self, *, raise_on_error: bool) -> list[Any]:
        return [self.marker, {"run_id": "r"}, {}]

    def hset(self, key: bytes, field: bytes, value: bytes) -> None:
        pass

    def written_once(self) -> None:
        assert self.has_written.acquire(timeout=WAIT_S_MAX)


def folded(*users: str, keys_max: int = 100) -> JournaledStage:
    """An engine that has folded one event of each user."""
    stage = JournaledStage(
        0,
        len(ENTITIES),
        limits=LIMITS,
        clock_ms=lambda: NOW_MS,
        kept=KeptStates(live_keys_max=100),
        changed_keys_max=keys_max,
        project="weir",
    )
    objects = [transaction_object(user_id=user, transaction_id=f"t-{user}") for user in users]
    stage.run(framed(value=wire(obj)) for obj in objects)
    return stage


def writer_of(stage: JournaledStage, client: FakeRedis, *, keys_max: int = 100) -> OnlineWriter:
    def connect() -> Any:
        return client

    return OnlineWriter(
        stage.job, USER, connect=connect, flush_ms=1, keys_max=keys_max, project="weir"
    )


def test_a_changed_key_is_written_once() -> None:
    stage, client = folded("u-1", "u-2"), FakeRedis()
    writer = writer_of(stage, client)
    writer.start()
    client.written_once()
    writer.close()
    assert [len(keys) for keys in client.written] == [2]


def test_a_write_that_fails_is_tried_again_and_nothing_else_is_written(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online_writer, "_RETRY_S", 0.001)
    stage, client = folded("u-idle"), FakeRedis()
    writer = writer_of(stage, client)
    writer.start()
    client.written_once()
    client.failures = 1
    with caplog.at_level(logging.WARNING):
        stage.run([framed(value=wire(transaction_object(user_id="u-busy")))])
        client.written_once()
    writer.close()
    assert client.written[-1] == [entity_key("user", "u-busy", "weir")]
    assert "redis did not store user states" in caplog.text
    assert "redis is back" in caplog.text


def test_with_another_marker_all_states_in_memory_are_written_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online_writer, "_LOOK_S", 0.001)
    stage, client = folded("u-1", "u-2"), FakeRedis()
    writer = writer_of(stage, client)
    with caplog.at_level(logging.WARNING):
        writer.start()
        client.written_once()
        client.marker = b"by-hand-1"
        client.written_once()
        writer.close()
    assert [len(keys) for keys in client.written] == [2, 2]
    assert "writing all user states to redis: the velocity job has started" in caplog.text
    assert "writing all user states to redis: a rebuild was asked for" in caplog.text


def test_a_write_that_waits_for_redis_raises_and_keeps_its_keys() -> None:
    stage, client = folded("u-1"), FakeRedis(failures=1)
    writer = writer_of(stage, client)
    with pytest.raises(redis.ConnectionError):
        writer.write_all()
    writer.write_all()
    assert [len(keys) for keys in client.written] == [1]


def test_fewer_keys_are_taken_at_once_if_their_states_are_large() -> None:
    stage, client = folded(), FakeRedis()
    long_ids = [f"{number:03}" + "\N{GRINNING FACE}" * 110 for number in range(200)]
    for user in ("u-1", "u-2", "u-3", "u-4"):
        stage.run(
            framed(
                value=wire(
                    transaction_object(user_id=user, merchant_id=each, transaction_id=user + each)
                )
            )
            for each in long_ids
        )
    writer_of(stage, client).write_all()
    counts = [len(keys) for keys in client.written]
    assert sum(counts) == 4
    assert len(counts) > 1


def test_dropped_keys_are_logged_when_their_number_grows(caplog: pytest.LogCaptureFixture) -> None:
    stage, client = folded("u-1", "u-2", "u-3", keys_max=1), FakeRedis()
    writer = writer_of(stage, client, keys_max=1)
    with caplog.at_level(logging.WARNING):
        writer.start()
        client.written_once()
        writer.close()
    said = [record for record in caplog.records if "were not written" in record.message]
    assert len(said) == 1
    assert said[0].message.startswith("2 changed user states")


def test_an_entity_whose_windows_end_earlier_is_flushed_less_often() -> None:
    settings = Settings(online_flush_ms=200)
    stage = folded("u-1")
    flush_s = [
        open_writer(stage.job, position, settings, keys_max=1, redis_s_max=1.0)._flush_s
        for position in range(len(ENTITIES))
    ]
    assert flush_s == [0.2, 2.0]


def test_the_writers_of_all_subtasks_together_keep_to_one_share_of_the_time() -> None:
    stage = folded("u-1")
    shares = []
    for subtasks in (1, 4):
        settings = Settings(flink_parallelism=subtasks)
        writer = open_writer(stage.job, USER, settings, keys_max=1, redis_s_max=1.0)
        shares.append(subtasks / (1 + writer._pause_factor))
    assert shares == pytest.approx([0.2, 0.2])
