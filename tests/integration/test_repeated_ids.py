"""Ids that come again, on a real Kafka and Redis: one rule of first, and an open gate.

The twin of the velocity job writes the feature log; the scorer's own batch and its store of first
decisions decide.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer
from prometheus_client import CollectorRegistry
from redis import Redis

from clients.kafka_log import read_log
from clients.log_record import Record as LogRecord
from features.definitions import DAY_MS, HOUR_MS
from features.online.layout import entity_key
from infra.simulation.event import Event
from infra.simulation.world import World
from models.heuristic import HEURISTIC
from models.policy import Policy
from operations.parity.run import SURFACES, run_parity
from operations.promotion import ask_gate
from schemas.codec import decode_transaction, encode_transaction
from schemas.decision import Decision
from schemas.output_codec import decode_decision, decode_feature_row
from schemas.settings import Settings
from schemas.topics import DECISIONS, FEATURES, LABELS, REPLAY_HEADER
from schemas.transaction import Limits, Transaction
from scoring.metrics import build_metrics
from scoring.stores.decision_store import connect_decision_store
from scoring.stores.feature_log import KafkaFeatureLog
from scoring.worker.batch import BatchScorer, Channels
from scoring.worker.feature_log import Record
from tests import services
from tests.builders import LIMITS
from tests.parity_world import ENTITIES, stored_hash
from tests.scoring_fakes import FixedSource, MemoryBatchReader, MemorySink
from tests.services import Services
from tests.traffic import now_ms
from tests.velocity_twin import TwinOnKafka
from training.archive.columns import to_batches
from training.archive.feature_rows import archived_feature_rows
from training.archive.store import ArchiveTable
from training.datasets.read_log import read_feature_rows
from training.registry.gate import PassedGate

DAYS = 30


@pytest.fixture
def system(local_services: Services, tmp_path: Path) -> Iterator[Settings]:
    """A Kafka and a Redis of this test's own; `local_services` marks the test."""
    with services.local_services(keep_logs=lambda: False) as own:
        assert own.stack is not None
        own.stack.up(programs=["kafka", "redis"])
        yield own.settings.model_copy(update={"archive_url": str(tmp_path / "archive")})


def transaction_of(event: Event) -> Transaction:
    return decode_transaction(event.value, limits=Limits(), now_ms=0, is_replay=True)


def with_fields(event: Event, **changes: object) -> Event:
    changed = replace(transaction_of(event), **changes)  # type: ignore[arg-type]
    return replace(event, key=changed.user_id.encode(), value=encode_transaction(changed))


def send(settings: Settings, events: Sequence[Event]) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "acks": "all"})
    for event in events:
        producer.produce(event.topic, event.value, key=event.key, headers=[REPLAY_HEADER])
    assert producer.flush(30) == 0


def decide(settings: Settings, logged: Sequence[LogRecord]) -> list[Decision]:
    """Decide on rows as a worker does, in batches, and write the decisions to their topic."""
    metrics, sink = build_metrics(CollectorRegistry()), MemorySink()

    async def score() -> None:
        store = connect_decision_store(
            redis_url=settings.redis_url,
            ttl_s=600,
            timeout_ms=5_000,
            clock_ms=lambda: time.monotonic() * 1_000,
            now_s=lambda: now_ms() // 1_000,
            metrics=metrics,
        )
        log = KafkaFeatureLog(bootstrap=settings.kafka_bootstrap, topic=FEATURES)
        scorer = BatchScorer(
            models=FixedSource(HEURISTIC),
            policy=Policy(review_threshold=0.5, block_threshold=0.9),
            store=store,
            log=log,
            batch_reader=MemoryBatchReader(),
            sink=sink,
            clock_ms=now_ms,
            metrics=metrics,
            channels=Channels(),
        )
        records = [
            Record(FEATURES, each.partition, each.offset, 0, each.key, each.value, [])
            for each in logged
        ]
        for start in range(0, len(records), 100):
            await scorer.score(records[start : start + 100])
        await store.close()
        log.close()

    asyncio.run(score())
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "acks": "all"})
    for record in sink.records:
        producer.produce(DECISIONS, record.value, key=record.key)
    assert producer.flush(30) == 0
    return [decode_decision(record.value) for record in sink.records]


def archive(settings: Settings) -> None:
    """Write features and labels as the archiver would."""
    for topic in (FEATURES, LABELS):
        table = ArchiveTable(settings.archive_url, topic)
        table.open_or_create()
        records = list(read_log(settings.kafka_bootstrap, topic))
        ends: dict[int, int] = {}
        for record in records:
            ends[record.partition] = record.offset + 1
        table.append(to_batches(topic, records, limits=LIMITS), next_offsets=ends)


def run(settings: Settings, stories: Sequence[Sequence[Event]]) -> list[Decision]:
    """Send the stories one after the other, each answered before the next; give the decisions."""
    answered = 0
    with TwinOnKafka(
        settings.kafka_bootstrap, broken=lambda row: replace(row, computed_at_ms=now_ms())
    ) as twin:
        for story in stories:
            send(settings, story)
            answered += len(story)
            twin.until_answered(answered)
            time.sleep(0.5)
    logged = sorted(
        read_log(settings.kafka_bootstrap, FEATURES),
        key=lambda record: decode_feature_row(record.value).computed_at_ms,
    )
    assert len(logged) == answered
    decisions = decide(settings, logged)
    client = Redis.from_url(settings.redis_url)
    for entity in ENTITIES:
        for name, state in twin.states(entity).items():
            key = entity_key(entity, name, settings.feast_project)
            client.hset(key, mapping=stored_hash(entity, state))
    client.close()
    archive(settings)
    return decisions


def a_month(settings: Settings, *, run: str) -> list[Event]:
    """A month of transactions that ended two hours ago."""
    end_ms = now_ms() - 2 * HOUR_MS
    world = World(seed=16, currency=settings.currency, run=run)
    history = world.history(start_ms=end_ms - DAYS * DAY_MS, end_ms=end_ms, transactions_per_day=20)
    # Few users, so that each has events on many days. Without the reports: whether the twin reads
    # one before or after a transaction is open.
    return [
        with_fields(event, user_id=f"user-{event.key.decode()[-1]}")
        for event in history
        if event.is_transaction
    ]


def agrees_everywhere(settings: Settings, decisions: list[Decision], transaction_id: str) -> None:
    """Decisions, rows of training and archived rows of an id are of one feature row."""
    first, *later = [each for each in decisions if each.transaction_id == transaction_id]
    assert all(each == first for each in later)
    assert later
    place = (first.features_offset.partition, first.features_offset.offset)
    for table in (
        read_feature_rows(settings.kafka_bootstrap),
        archived_feature_rows(settings.archive_url),
    ):
        (row,) = table[table["transaction_id"] == transaction_id].to_dict("records")
        assert (row["log_partition"], row["log_offset"]) == place
        assert row["user_id"] == first.user_id


def test_ids_that_come_again_cost_their_own_transactions_and_the_gate_stays_open(
    system: Settings,
) -> None:
    month, healthy = a_month(system, run="m"), a_month(system, run="h")[-200:]
    # A row 29 days old again, to a user with later events, so that its state has forgotten it.
    last_of = {event.key: event for event in month}
    old = max(month[:40], key=lambda event: last_of[event.key].due_ms - event.due_ms)
    assert last_of[old.key].due_ms - old.due_ms > DAY_MS
    # The newest one again, with other fields, while its user's state remembers it.
    repeat = with_fields(month[-1], amount_minor=1_234_567, merchant_id="another")
    # One id for two users.
    others = [event for event in month if event.key != month[100].key]
    conflicts = [
        with_fields(event, transaction_id=transaction_of(month[100]).transaction_id)
        for event in others[-5:]
    ]
    decisions = run(system, [month, [old, repeat], conflicts, healthy])
    for event in (old, repeat, month[100]):
        agrees_everywhere(system, decisions, transaction_of(event).transaction_id)
    report = run_parity(system, surfaces=[name for name in SURFACES if name != "batch_features"])
    assert report.is_clean, report.to_json()
    conflicting = {transaction_of(month[100]).transaction_id}
    assert report.feature_log.conflicting_ids == conflicting
    assert report.surfaces["decisions"].conflicting == 0
    assert isinstance(ask_gate(system), PassedGate)
