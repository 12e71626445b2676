"""First decisions come back after Redis was emptied, with a real Kafka, Redis and scorer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry
from redis import Redis

from schemas.output_codec import encode_decision, encode_feature_row
from scoring import wiring
from scoring.core.first_decision import FirstDecision
from scoring.metrics import build_metrics
from scoring.stores.decision_rebuild import DecisionRebuild, Rebuilt
from scoring.stores.kept_decisions import CONTEXTS_KEY, DAY_S, day_keys, id_digest
from scoring.stores.lost_decisions import (
    LOCK_KEY,
    MARGIN_MS,
    MARKER_KEY,
    OLD_MS,
    LostDecisions,
    Marker,
)
from tests.builders import DECISION
from tests.scorer_bench import Bench, scorer_bench, wait_for
from tests.scoring_fakes import feature_row
from tests.services import Services

STEP_S_MAX = 60.0
TTL_S = 3 * DAY_S
DAY_MS = DAY_S * 1_000


@pytest.fixture
def bench(kafka: Services, redis_server: Services, tmp_path: Path) -> Bench:
    found = scorer_bench(kafka, redis_server, tmp_path)
    # A database of its own, to be emptied.
    url = f"{redis_server.redis_url.rpartition('/')[0]}/9"
    found.settings = found.settings.model_copy(update={"redis_url": url, "decision_ttl_s": TTL_S})
    return found


@pytest.fixture
def client(bench: Bench) -> Iterator[Redis]:
    with Redis.from_url(bench.settings.redis_url) as client:
        client.flushdb()
        yield client
        client.flushdb()


def kept(client: Redis) -> dict[bytes, Any]:
    """All that is kept of first decisions."""
    days = client.scan_iter("weir:decisions:2*")
    return {key: client.hgetall(key) for key in [*days, CONTEXTS_KEY]}


def wait_for_marker(client: Redis, *, other_than: bytes | None) -> bytes:
    deadline_s = time.monotonic() + STEP_S_MAX
    while (found := client.get(MARKER_KEY)) in (None, other_than):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    assert isinstance(found, bytes)
    return found


def test_after_a_loss_old_transactions_get_the_decisions_that_they_had(
    bench: Bench, client: Redis
) -> None:
    ids = bench.ids(300)
    with bench.decisions() as decisions:
        with bench.worker() as worker:
            bench.send_rows(ids)
            wait_for(decisions, ids)
            marker = wait_for_marker(client, other_than=None)
            before = kept(client)
            client.flushdb()
            wait_for_marker(client, other_than=marker)
            assert kept(client) == before
            worker.terminate()
        firsts = {
            orjson.loads(each.value or b"")["transaction_id"]: each.value
            for each in decisions.records
        }
        # Another process remembers no decision itself; without Redis it would score the other rows.
        with bench.worker(), bench.producer() as producer:
            changed = {"user_transaction_count_5m": 99}
            for at, each in enumerate(ids):
                row = encode_feature_row(feature_row(each, features=changed))
                bench.send(producer, row, at=at)
            producer.flush()
            decisions.until(lambda seen: len(seen) == 2 * len(ids), within_ms=60_000)
    for record in decisions.records:
        assert record.value == firsts[orjson.loads(record.value or b"")["transaction_id"]]


# --- the rebuild -----------------------------------------------------------------------


def send_decisions(bench: Bench, *values: bytes | None, at_ms: int) -> None:
    producer = Producer({"bootstrap.servers": bench.settings.kafka_bootstrap})
    for value in values:
        producer.produce(
            bench.channels.decisions, value=value, key=b"u", partition=0, timestamp=at_ms
        )
    assert producer.flush(30) == 0


def decision(
    transaction_id: str, *, at_ms: int, score: float, degraded: tuple[str, ...] = ()
) -> bytes:
    return encode_decision(
        replace(
            DECISION,
            transaction_id=transaction_id,
            decided_at_ms=at_ms,
            score=score,
            degraded=degraded,
        )
    )


def test_what_redis_has_stands_and_what_has_expired_is_left(bench: Bench, client: Redis) -> None:
    now_ms = wiring.wall_clock_ms()
    sent = {
        "expired": (3, 0.1),
        "old": (2, 0.2),
        "twice": (1, 0.3),
        "has": (1, 0.5),
        "new": (0, 0.6),
    }
    for name, (days_ago, score) in sent.items():
        at_ms = now_ms - days_ago * DAY_MS
        send_decisions(bench, decision(name, at_ms=at_ms, score=score), at_ms=at_ms)
    unknown, less = "decision_store_unavailable", "first_context_lost"
    send_decisions(
        bench,
        decision("twice", at_ms=now_ms, score=0.9, degraded=(unknown,)),
        decision("twice", at_ms=now_ms, score=0.8, degraded=(unknown,)),
        decision("old", at_ms=now_ms - 2 * DAY_MS, score=0.2, degraded=(less,)),
        *(None, b"[]", b"no JSON", b"{}"),
        at_ms=now_ms,
    )
    client.hset(day_key(now_ms), id_digest(b"has"), b"what stands")
    rebuild = wiring.build_decision_rebuild(bench.settings, topic=bench.channels.decisions)
    assert rebuild.run(client, now_ms=now_ms, busy_share=1.0) == Rebuilt(6, 3)
    for name in ("old", "twice", "new"):
        days_ago, score = sent[name]
        at_ms = now_ms - days_ago * DAY_MS
        first = FirstDecision.unpack(client.hget(day_key(at_ms), id_digest(name.encode())))
        assert (first.score, first.decided_at_ms) == (score, at_ms)
        assert b"context_lost" not in client.hget(CONTEXTS_KEY, first.context)
        if days_ago:
            expires_s = (at_ms // DAY_MS + 1) * DAY_S + TTL_S
            assert client.expiretime(day_key(at_ms)) == expires_s
    assert client.hget(day_key(now_ms), id_digest(b"has")) == b"what stands"
    assert rebuild.run(client, now_ms=now_ms, busy_share=1.0) == Rebuilt(6, 0)
    recent = rebuild.run(client, now_ms=now_ms, since_ms=now_ms - DAY_MS // 2, busy_share=1.0)
    assert recent == Rebuilt(3, 0)


def day_key(at_ms: int) -> bytes:
    return day_keys(at_ms // 1_000, ttl_s=0)[0]


# --- what is noticed -------------------------------------------------------------------


class NotedRebuild:
    """Notes since when it was asked; runs a step of the test meanwhile."""

    def __init__(self) -> None:
        self.since_ms: list[int] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def run(self, client: Redis, *, since_ms: int, **_: object) -> Rebuilt:
        self.since_ms.append(since_ms)
        self.meanwhile()
        return Rebuilt(0, 0)


class Watched:
    """`LostDecisions` with a clock and a rebuild of the test."""

    def __init__(self, client: Redis) -> None:
        self.rebuild = NotedRebuild()
        self.now_ms = 1_000_000
        self.losses: list[bool] = []
        self.incomplete = build_metrics(CollectorRegistry()).store_incomplete
        self._client = client
        self._lost = LostDecisions(
            client,
            cast(DecisionRebuild, self.rebuild),
            clock_ms=lambda: self.now_ms,
            on_loss=self.losses.append,
            shown=self.incomplete,
        )

    def look(self, *, after_ms: int = 0) -> list[int]:
        """Look after a time; gives since when decisions were written again, if they were."""
        self.now_ms += after_ms
        self.rebuild.since_ms.clear()
        self._lost.look()
        return list(self.rebuild.since_ms)

    def marker(self) -> Marker | None:
        return Marker.decode(self._client.get(MARKER_KEY))


@pytest.fixture
def watched(client: Redis) -> Watched:
    return Watched(client)


def test_a_first_start_writes_all_and_marks_nothing(watched: Watched) -> None:
    assert watched.look() == [0]
    assert watched.look(after_ms=2_000) == []
    assert watched.losses == []
    run_id, until_ms = watched.marker() or Marker("", 0)
    assert run_id
    assert until_ms == watched.now_ms


def test_an_emptied_redis_is_written_and_decisions_are_marked_meanwhile(
    watched: Watched, client: Redis
) -> None:
    watched.look()
    watched.look()
    client.flushdb()
    meanwhile = []
    watched.rebuild.meanwhile = lambda: meanwhile.append(
        (list(watched.losses), watched.incomplete._value.get())
    )
    assert watched.look(after_ms=1_000) == [0]
    assert meanwhile == [([True], 1)]
    assert watched.look(after_ms=1_000) == []
    assert (watched.losses, watched.incomplete._value.get()) == ([True, False], 0)


def test_redis_emptied_again_while_it_is_written_is_written_again(
    watched: Watched, client: Redis
) -> None:
    watched.rebuild.meanwhile = client.flushdb
    assert watched.look() == [0]
    assert watched.marker() is None
    watched.rebuild.meanwhile = lambda: None
    assert watched.look() == [0]
    assert watched.marker() is not None


@pytest.mark.parametrize("change", ["another run", "older"])
def test_what_an_older_file_or_a_restart_may_lack_is_written(
    watched: Watched, client: Redis, change: str
) -> None:
    watched.look()
    marker = watched.marker()
    assert marker is not None
    lost = marker._replace(run_id="other")
    if change == "older":
        lost = marker._replace(complete_until_ms=watched.now_ms - OLD_MS - 1)
    client.set(MARKER_KEY, lost.encode())
    assert watched.look(after_ms=500) == [lost.complete_until_ms - MARGIN_MS]
    assert watched.look() == []
    assert watched.marker() == Marker(marker.run_id, watched.now_ms)


def test_one_worker_writes_and_the_others_wait(watched: Watched, client: Redis) -> None:
    client.set(LOCK_KEY, b"another")
    assert watched.look() == []
    assert watched.marker() is None
    client.delete(LOCK_KEY)
    assert watched.look() == [0]
    assert client.get(LOCK_KEY) is None
