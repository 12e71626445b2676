"""A scorer in a process of its own, on topics of one test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from schemas.output_codec import encode_feature_row
from schemas.settings import Settings
from schemas.topics import FEATURE_ROW_TYPE, cloud_event_headers
from scoring.worker.batch import Channels
from scoring.worker.watchdog import GroupProgress, Progress
from tests.builders import NOW_MS
from tests.scoring_fakes import feature_row
from tests.services import Services, unique_name
from tests.topic_tail import Tail, tail
from tests.worker_process import running_worker

PARTITIONS = 2
ANSWER_MS_MAX = 60_000


@dataclass
class Bench:
    """The topics of one test, and helpers that write rows."""

    settings: Settings
    channels: Channels
    log: Path
    prefix: str

    def ids(self, count: int, *, start: int = 0) -> list[str]:
        return [f"{self.prefix}-{at}" for at in range(start, start + count)]

    def send_rows(self, ids: list[str], *, rate: float | None = None) -> None:
        with self.producer() as producer:
            for at, transaction_id in enumerate(ids):
                self.send(producer, encode_feature_row(feature_row(transaction_id)), at=at)
                if rate is not None:
                    time.sleep(1 / rate)

    def send(
        self,
        producer: Any,
        value: bytes | None,
        *,
        at: int = 0,
        headers: tuple[tuple[str, bytes], ...] = (),
    ) -> None:
        kind = cloud_event_headers(
            event_type=FEATURE_ROW_TYPE, event_id=str(at), source="/test", time_ms=NOW_MS
        )
        producer.send(
            self.channels.features,
            key=b"u-%d" % at,
            value=value,
            headers=[*kind, *headers],
            partition=at % PARTITIONS,
            timestamp_ms=NOW_MS + at,
        )

    @contextmanager
    def producer(self) -> Iterator[Any]:
        producer = KafkaProducer(bootstrap_servers=self.settings.kafka_bootstrap)
        try:
            yield producer
            producer.flush()
        finally:
            producer.close()

    def decisions(self) -> Any:
        return tail(self.settings.kafka_bootstrap, self.channels.decisions)

    def dead_letters(self) -> Any:
        return tail(self.settings.kafka_bootstrap, self.channels.dead_letters)

    def worker(self) -> Any:
        return running_worker(self.settings, self.channels, self.log)

    def progress(self) -> Progress | None:
        return GroupProgress(
            bootstrap=self.settings.kafka_bootstrap,
            group=self.channels.group,
            topic=self.channels.features,
        ).progress()


def scorer_bench(kafka: Services, redis_server: Services, directory: Path) -> Bench:
    """New topics and a new group; data and log of the scorer are in ``directory``."""
    prefix = unique_name("scorer")
    return Bench(
        settings=kafka.settings.model_copy(
            update={
                "redis_url": redis_server.redis_url,
                "data_dir": directory / "data",
                "worker_metrics_port": 0,
            }
        ),
        channels=Channels(
            group=prefix,
            features=kafka.new_topic("features", partitions=PARTITIONS),
            decisions=kafka.new_topic("decisions", partitions=PARTITIONS),
            dead_letters=kafka.new_topic("dead-letters"),
            rollouts=kafka.new_topic("rollouts"),
            shadow_decisions=kafka.new_topic("shadow-decisions"),
        ),
        log=directory / "worker.log",
        prefix=prefix,
    )


def by_transaction(decisions: Tail) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for decision in decisions.objects():
        found.setdefault(decision["transaction_id"], []).append(decision)
    return found


def wait_for(decisions: Tail, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    decisions.until(lambda _: set(ids) <= by_transaction(decisions).keys(), within_ms=ANSWER_MS_MAX)
    return by_transaction(decisions)
