"""When a snapshot is due, and what is asked to find out."""

import threading
from pathlib import Path

import pytest
import redis

from features.definitions import DAY_MS
from schemas.settings import Settings
from training.datasets import materializer
from training.datasets.materializer import (
    LossWatch,
    due_snapshot_ms,
    materialize_what_is_due,
    may_be_due,
)

DELAY_S = 600
DELAY_MS = DELAY_S * 1_000
MIDNIGHT_MS = 20_000 * DAY_MS


def marked(monkeypatch: pytest.MonkeyPatch, done_ms: int | None) -> None:
    monkeypatch.setattr(materializer, "completed_ms", lambda _: done_ms)


@pytest.mark.parametrize(
    ("past_ms", "wanted_ms"),
    [
        (DELAY_MS - 1, MIDNIGHT_MS - DAY_MS),
        (DELAY_MS, MIDNIGHT_MS),
        (DELAY_MS + 1, MIDNIGHT_MS),
    ],
)
@pytest.mark.parametrize("behind", ["clock", "archive"])
def test_a_snapshot_is_due_when_clock_and_archive_are_past_it_by_the_delay(
    behind: str, past_ms: int, wanted_ms: int
) -> None:
    times_ms = {"now_ms": MIDNIGHT_MS + DAY_MS - 1, "newest_event_ms": MIDNIGHT_MS + DAY_MS - 1}
    times_ms["now_ms" if behind == "clock" else "newest_event_ms"] = MIDNIGHT_MS + past_ms
    assert due_snapshot_ms(**times_ms, delay_ms=DELAY_MS) == wanted_ms


@pytest.mark.parametrize(
    ("done_ms", "wanted"),
    [(None, True), (MIDNIGHT_MS - DAY_MS, True), (MIDNIGHT_MS, False), (MIDNIGHT_MS + 1, False)],
)
def test_the_archive_is_checked_only_while_redis_lacks_the_last_midnight(
    monkeypatch: pytest.MonkeyPatch, done_ms: int | None, wanted: bool
) -> None:
    marked(monkeypatch, done_ms)
    settings = Settings(materialize_delay_s=DELAY_S)
    assert may_be_due(settings, now_ms=MIDNIGHT_MS + DELAY_MS) is wanted


def away(_: Settings) -> int:
    raise redis.ConnectionError("away")


def test_nothing_is_due_while_redis_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materializer, "completed_ms", away)
    assert not may_be_due(Settings(), now_ms=MIDNIGHT_MS)


def test_a_snapshot_that_redis_had_and_lost_is_noticed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def looked(done_ms: int | None) -> bool:
        marked(monkeypatch, done_ms)
        return watch.is_lost()

    watch = LossWatch(Settings())
    assert not looked(None)
    assert not looked(MIDNIGHT_MS)
    assert looked(None)
    assert not looked(None)
    assert not looked(MIDNIGHT_MS)
    monkeypatch.setattr(materializer, "completed_ms", away)
    assert not watch.is_lost()
    assert looked(None)


def test_a_loss_ends_the_pause_between_two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materializer, "WATCH_S", 0.001)
    found = iter([MIDNIGHT_MS, MIDNIGHT_MS, None])
    monkeypatch.setattr(materializer, "completed_ms", lambda _: next(found))
    assert not LossWatch(Settings()).wait(threading.Event(), 3_600)
    stopped = threading.Event()
    stopped.set()
    assert LossWatch(Settings()).wait(stopped, 3_600)


def test_without_an_archive_there_is_nothing_to_do(tmp_path: Path) -> None:
    settings = Settings(archive_url=str(tmp_path), redis_url="redis://127.0.0.1:1/0")
    assert not materialize_what_is_due(settings, now_ms=MIDNIGHT_MS)
