"""A system whose logs, decisions and states are written, not computed by running programs.

Forty days of transactions in which fraud shows in the amount, folded by the twin of the velocity
job and written to Kafka, Redis and an archive. Parity of it is 0 unless `broken` changes a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from confluent_kafka import Producer
from redis import Redis

from clients.log_record import Record
from features.definitions import DAY_MS, DEFINITION_DIGEST, HOUR_MS
from features.online.layout import entity_key
from models.heuristic import HEURISTIC
from schemas.codec import encode_label, encode_transaction
from schemas.decision import Offset
from schemas.feature_row import FeatureRow, Origin
from schemas.label import Label
from schemas.output_codec import encode_decision, encode_feature_row
from schemas.settings import Settings
from schemas.topics import DECISIONS, FEATURES, LABELS, REPLAY_HEADER, TRANSACTIONS
from schemas.transaction import Transaction
from tests import services
from tests.builders import DECISION, LIMITS, transaction
from tests.parity_world import ENTITIES, stored_hash
from tests.services import Services
from tests.velocity_twin import VelocityTwin
from training.archive.columns import to_batches
from training.archive.store import ArchiveTable

START_MS = 20_500 * DAY_MS  # 2026-02-16
DAYS = 40
PER_DAY = 30
ROWS = DAYS * PER_DAY
END_MS = START_MS + DAYS * DAY_MS
"""Kafka's time of every record: a replayed event may not be far ahead of its record."""
STEP_MS = DAY_MS // PER_DAY
FRAUD_SHARE = 0.15

Broken = Callable[[FeatureRow], FeatureRow]


def transactions_and_labels() -> tuple[list[Transaction], list[Label]]:
    """Transactions at equal distances in time, and a report of each fraud an hour later."""
    rng = np.random.default_rng(3)
    frauds = rng.random(ROWS) < FRAUD_SHARE
    noise = rng.normal(size=ROWS)
    transactions = [
        transaction(
            transaction_id=f"t{n}",
            user_id=f"u{n % 40}",
            event_time_ms=START_MS + n * STEP_MS,
            amount_minor=max(1, round(10_000 + 6_000 * frauds[n] + 4_000 * noise[n])),
        )
        for n in range(ROWS)
    ]
    labels = [
        Label(f"t{n}", "m-1", each.event_time_ms, each.event_time_ms + HOUR_MS, is_fraud=True)
        for n, each in enumerate(transactions)
        if frauds[n]
    ]
    return transactions, labels


@dataclass(frozen=True)
class LoggedSystem:
    """What is in the logs.

    Attributes:
        rows: the feature log.
        transactions, labels, features, decisions: the values of each topic, all of partition 0.
        hashes: Redis, by key's entity and id.
    """

    rows: list[FeatureRow]
    transactions: list[bytes]
    labels: list[bytes]
    features: list[bytes]
    decisions: list[bytes]
    twin: VelocityTwin

    @classmethod
    def folded(
        cls,
        broken: Broken = lambda row: row,
        world: Callable[[], tuple[list[Transaction], list[Label]]] = transactions_and_labels,
    ) -> LoggedSystem:
        """Fold the transactions and labels of a world in the order of their times."""
        transactions, labels = world()
        twin = VelocityTwin(broken=broken)
        waiting = iter(labels)
        label = next(waiting, None)
        rows = []
        for offset, each in enumerate(transactions):
            while label is not None and label.observed_time_ms <= each.event_time_ms:
                twin.label(encode_label(label))
                label = next(waiting, None)
            rows.append(twin.row(encode_transaction(each), origin=Origin(0, offset, END_MS)))
        while label is not None:
            twin.label(encode_label(label))
            label = next(waiting, None)
        decisions = [
            replace(
                DECISION,
                transaction_id=row.transaction.transaction_id,
                user_id=row.transaction.user_id,
                model=HEURISTIC.ref,
                features=row.features,
                approximate=row.approximate,
                definition_digest=DEFINITION_DIGEST,
                vector=None,
                features_offset=Offset(0, offset),
                event_time_ms=row.transaction.event_time_ms,
            )
            for offset, row in enumerate(rows)
        ]
        return cls(
            rows=rows,
            transactions=[encode_transaction(each) for each in transactions],
            labels=[encode_label(each) for each in labels],
            features=[encode_feature_row(row) for row in rows],
            decisions=[encode_decision(each) for each in decisions],
            twin=twin,
        )

    def write(self, settings: Settings) -> None:
        """Write everything to the topics of a broker and to Redis; both must be empty."""
        producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "acks": "all"})
        for topic, values in (
            (TRANSACTIONS, self.transactions),
            (LABELS, self.labels),
            (FEATURES, self.features),
            (DECISIONS, self.decisions),
        ):
            for value in values:
                producer.produce(topic, value, partition=0, headers=[REPLAY_HEADER])
        assert producer.flush(30) == 0
        client = Redis.from_url(settings.redis_url)
        for entity in ENTITIES:
            for name, state in self.twin.states(entity).items():
                key = entity_key(entity, name, settings.feast_project)
                client.hset(key, mapping=stored_hash(entity, state))
        client.close()

    def archive(self, url: str) -> None:
        """Write features and labels as the archiver would."""
        write_archive(url, FEATURES, self.features)
        write_archive(url, LABELS, self.labels)


def write_archive(url: str, topic: str, values: list[bytes]) -> None:
    """Write the values of a topic, all of partition 0, into a table of an archive."""
    table = ArchiveTable(url, topic)
    table.open_or_create()
    records = [Record(0, at, END_MS, value) for at, value in enumerate(values)]
    table.append(to_batches(topic, records, limits=LIMITS), next_offsets={0: len(values)})


@contextmanager
def logged_services(system: LoggedSystem) -> Iterator[Services]:
    """A Kafka and a Redis of their own, always local, that hold a system.

    Parity reads the topics by their names, so that no other test may write to them.
    """
    with services.local_services(keep_logs=lambda: False) as own:
        assert own.stack is not None
        own.stack.up(programs=["kafka", "redis"])
        system.write(own.settings)
        yield own
