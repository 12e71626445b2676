"""The archiver as a process, traffic on all archived topics, and what came of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from confluent_kafka import Producer

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas.codec import encode_label, encode_transaction
from schemas.output_codec import encode_decision, encode_feature_row
from schemas.settings import Settings, environment_of
from schemas.topics import DECISIONS, FEATURES, LABELS, LIBRDKAFKA_PARTITIONER, TRANSACTIONS
from tests.builders import DECISION, LABEL, NOW_MS, transaction
from tests.scoring_fakes import feature_row
from training.archive.compare import ArchiveComparison, compare_with_log
from training.archive.store import ArchiveTable
from training.archive.tables import TABLES

REPO = Path(__file__).parents[1]
DAY_MS = 86_400_000
PER_SECOND = 1_500


def producer_of(settings: Settings) -> Producer:
    """A producer that keeps the order and writes each record once."""
    return Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "partitioner": LIBRDKAFKA_PARTITIONER,
            "enable.idempotence": True,
            "log_level": 0,
        }
    )


def send_some(producer: Producer, count: int) -> None:
    """Records of every archived topic, over some days; one in fifty comes twice, or is none.

    A decision always is one: the topic is shared with tests that read it as subscribers do.
    """
    for n in range(count):
        transaction_id = f"archive-{uuid.uuid4().hex}"
        user = f"u-{n % 97}"
        time_ms = NOW_MS + (n % 5) * DAY_MS + n
        event = transaction(transaction_id=transaction_id, user_id=user, event_time_ms=time_ms)
        row = replace(feature_row(), transaction=event)
        decision = replace(
            DECISION,
            transaction_id=transaction_id,
            features=dict.fromkeys(FEATURE_NAMES, n),
            definition_digest=DEFINITION_DIGEST,
            event_time_ms=time_ms,
        )
        label = replace(LABEL, transaction_id=transaction_id)
        values = {
            TRANSACTIONS: encode_transaction(event),
            LABELS: encode_label(label),
            FEATURES: encode_feature_row(row),
            DECISIONS: encode_decision(decision),
        }
        for topic, value in values.items():
            producer.produce(topic, key=user, value=value)
            if n % 50 == 0:
                is_junk = n % 100 and topic != DECISIONS
                producer.produce(topic, key=user, value=b"junk" if is_junk else value)
        producer.poll(0)
    producer.flush(30)


def compared(settings: Settings) -> list[ArchiveComparison]:
    """Compare every table with its log; all must be equal."""
    found = [compare_with_log(settings, name) for name in TABLES]
    assert [one for one in found if not one.is_equal] == []
    return found


def rows(settings: Settings) -> dict[str, int]:
    """How many rows each table has."""
    return {name: ArchiveTable(settings.archive_url, name).delta.count() for name in TABLES}


def in_order(settings: Settings, name: str) -> pa.Table:
    """A table in the order of the log."""
    table = ArchiveTable(settings.archive_url, name).dataset().to_table()
    return table.sort_by([("log_partition", "ascending"), ("log_offset", "ascending")])


@contextmanager
def archiver_process(
    settings: Settings, log: Path, command: Sequence[str] = ("training.archive.archiver",)
) -> Iterator[subprocess.Popen[bytes]]:
    """The archiver, or another module, as a process; killed at the end of the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=REPO,
            env={**os.environ, **environment_of(settings), "PYTHONPATH": str(REPO)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


@contextmanager
def traffic(producer: Producer) -> Iterator[None]:
    """Some records every tenth of a second for the time of a block."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.1):
            send_some(producer, PER_SECOND // 40)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
