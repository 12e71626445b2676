"""Parity while traffic goes on: it waits for answers under way and leaves later records out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from clients.kafka_log import end_offsets, read_log
from features.definitions import DEFINITION_DIGEST
from infra.simulation.clock import WallClock
from infra.simulation.system import send_live
from infra.simulation.world import World
from models.heuristic import HEURISTIC
from operations.parity.feature_log import FeatureLogComparison
from operations.parity.run import DECISIONS_SURFACE, run_parity
from operations.parity.sources.logs import PATIENCE_S
from schemas.decision import Offset
from schemas.output_codec import decode_feature_row, encode_decision
from schemas.settings import Settings
from schemas.topics import DECISIONS, FEATURES, TRANSACTIONS
from tests import services
from tests.builders import DECISION
from tests.services import Services
from tests.velocity_twin import TwinOnKafka

SENT_MIN = 50
LATER_S = 2.0
"""When the answers of a test come: after the first look, long before patience runs out."""


@pytest.fixture
def broker(local_services: Services) -> Iterator[Settings]:
    """A broker of this test's own; `local_services` marks the test."""
    with services.local_services(keep_logs=lambda: False) as own:
        assert own.stack is not None
        own.stack.up(programs=["kafka"])
        yield own.settings


@contextmanager
def later(answer: threading.Thread) -> Iterator[None]:
    answer.start()
    try:
        yield
    finally:
        answer.join()


@contextmanager
def traffic(settings: Settings, *, rate_per_s: float) -> Iterator[None]:
    """Live transactions for the time of a block."""
    clock = WallClock()
    world = World(seed=5, currency=settings.currency, run="live")
    sender = threading.Thread(
        target=send_live,
        args=(settings, world, clock),
        kwargs={"rate_per_s": rate_per_s, "duration_s": None},
    )
    sender.start()
    try:
        yield
    finally:
        clock.stop()
        sender.join()


def sent(settings: Settings) -> int:
    """How many transactions are in the log."""
    return sum(end_offsets(settings.kafka_bootstrap, TRANSACTIONS).values())


def test_rows_that_are_under_way_are_waited_for(broker: Settings) -> None:
    with traffic(broker, rate_per_s=100):
        while sent(broker) < SENT_MIN:
            time.sleep(0.1)
    twin = TwinOnKafka(broker.kafka_bootstrap)

    def answers() -> None:
        time.sleep(LATER_S)
        with twin:
            twin.until_answered(sent(broker))

    started_s = time.monotonic()
    with later(threading.Thread(target=answers)):
        report = FeatureLogComparison(broker).run()
    assert report.is_clean, report
    assert report.rows >= SENT_MIN
    assert LATER_S < time.monotonic() - started_s < LATER_S + PATIENCE_S


def test_transactions_that_arrive_meanwhile_are_neither_missing_nor_extra(
    broker: Settings,
) -> None:
    with TwinOnKafka(broker.kafka_bootstrap) as twin, traffic(broker, rate_per_s=300):
        twin.until_answered(100)
        rows = []
        for _ in range(4):
            report = FeatureLogComparison(broker).run()
            assert report.is_clean, report
            rows.append(report.rows)
    assert rows == sorted(rows)
    assert rows[0] < rows[-1]


def test_decisions_that_are_under_way_are_waited_for_and_lost_ones_are_missing(
    broker: Settings,
) -> None:
    with TwinOnKafka(broker.kafka_bootstrap) as twin:
        with traffic(broker, rate_per_s=100):
            twin.until_answered(SENT_MIN)
        twin.until_answered(sent(broker))
    rows = [
        (Offset(record.partition, record.offset), decode_feature_row(record.value))
        for record in read_log(broker.kafka_bootstrap, FEATURES)
    ]

    def decide() -> None:
        time.sleep(LATER_S)
        producer = Producer({"bootstrap.servers": broker.kafka_bootstrap})
        # All but the last: it is lost.
        for place, row in rows[:-1]:
            decision = replace(
                DECISION,
                transaction_id=row.transaction.transaction_id,
                model=HEURISTIC.ref,
                features=row.features,
                approximate=row.approximate,
                definition_digest=DEFINITION_DIGEST,
                vector=None,
                features_offset=place,
            )
            producer.produce(DECISIONS, encode_decision(decision))
        assert producer.flush(10) == 0

    with later(threading.Thread(target=decide)):
        report = run_parity(broker, surfaces=[DECISIONS_SURFACE])
    assert report.feature_log.is_clean, report.feature_log
    decisions = report.surfaces[DECISIONS_SURFACE]
    assert (decisions.missing, decisions.mismatched, decisions.extra) == (1, 0, 0)
