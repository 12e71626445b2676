"""An in-memory substitute for the velocity job: the same engine, without Flink.

For tests of the components around the job. `VelocityTwin` folds events directly, `TwinOnKafka` runs
in a thread between the topics of a broker. `broken` changes the rows, as a job with a wrong
aggregate would.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType

from confluent_kafka import Consumer, Producer

from features.definitions import Entity
from features.engine.job import KeptStates
from features.engine.plan import ENTITIES
from features.engine.state import MerchantState, UserState
from infra.simulation.event import Event
from schemas.feature_row import FeatureRow, Origin
from schemas.output_codec import decode_feature_row, encode_feature_row
from schemas.topics import (
    FEATURES,
    LABELS,
    LIBRDKAFKA_PARTITIONER,
    REPLAY_HEADER,
    TRANSACTIONS,
)
from schemas.transaction import Limits
from streams.velocity.record_frame import InboundRecord, encode_headers, encode_record
from tests.journaled_stage import InMemoryJob

PARTITIONS = 4
_COMPUTED_AT_MS = 4_000_000_000_000
_STATES = {"user": UserState, "merchant": MerchantState}

Broken = Callable[[FeatureRow], FeatureRow]


class VelocityTwin:
    """Folds events one at a time."""

    def __init__(self, *, broken: Broken = lambda row: row) -> None:
        self._job = InMemoryJob(
            limits=Limits(),
            clock_ms=lambda: _COMPUTED_AT_MS,
            kept=KeptStates(),
        )
        self._offsets: Counter[int] = Counter()
        self.broken = broken

    def row(self, value: bytes, *, origin: Origin) -> FeatureRow:
        """Fold a transaction; gives its feature row."""
        (produced,) = self._run(TRANSACTIONS, value, origin)
        assert produced.topic == FEATURES.encode(), produced
        return self.broken(decode_feature_row(produced.value))

    def label(self, value: bytes) -> None:
        """Fold a label."""
        produced = self._run(LABELS, value, Origin(0, 0, -1))
        assert not produced, produced

    def states(self, entity: Entity) -> Mapping[str, UserState | MerchantState]:
        """The state of each key of an entity."""
        position = [planned.entity for planned in ENTITIES].index(entity)
        return {
            key: _STATES[entity].decode(snapshot[1:])
            for (at, key), snapshot in self._job.snapshots().items()
            if at == position
        }

    def _run(self, topic: str, value: bytes, origin: Origin) -> list[InboundRecord]:
        frame = encode_record(
            topic.encode(),
            key=None,
            value=value,
            headers_bytes=encode_headers([REPLAY_HEADER]),
            timestamp_ms=origin.timestamp_ms,
            partition=origin.partition,
            offset=origin.offset,
        )
        return [InboundRecord.parse(produced) for produced in self._job.run([frame])]

    def take(self, event: Event) -> list[FeatureRow]:
        """Fold an event of either kind; gives the row of a transaction."""
        if not event.is_transaction:
            self.label(event.value)
            return []
        partition = event.key[-1] % PARTITIONS
        self._offsets[partition] += 1
        origin = Origin(partition, self._offsets[partition] - 1, timestamp_ms=event.due_ms)
        return [self.row(event.value, origin=origin)]


class TwinOnKafka:
    """A twin that reads and writes the topics of a broker, for the duration of a ``with`` block.

    It commits its offsets at the end, so a second one can continue ``after`` it, with its states.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        broken: Broken = lambda row: row,
        after: TwinOnKafka | None = None,
    ) -> None:
        self._twin = VelocityTwin() if after is None else after._twin
        self._twin.broken = broken
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "twin",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
            }
        )
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "partitioner": LIBRDKAFKA_PARTITIONER}
        )
        self._answered = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> TwinOnKafka:
        self._consumer.subscribe([TRANSACTIONS, LABELS])
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._consumer.commit(asynchronous=False)
        self._consumer.close()

    def states(self, entity: Entity) -> Mapping[str, UserState | MerchantState]:
        """The state of each key of an entity."""
        return self._twin.states(entity)

    def until_answered(self, transactions: int, *, within_s: float = 60.0) -> None:
        """Wait until this many transactions have rows."""
        deadline_s = time.monotonic() + within_s
        while self._answered < transactions:
            assert time.monotonic() < deadline_s, f"{self._answered} of {transactions} answered"
            time.sleep(0.05)

    def _run(self) -> None:
        while not self._stopped.is_set():
            transactions = 0
            for message in self._consumer.consume(500, 0.05):
                if message.topic() == LABELS:
                    self._twin.label(message.value())
                else:
                    self._answer(message)
                    transactions += 1
            self._producer.flush()
            self._answered += transactions

    def _answer(self, message: object) -> None:
        origin = Origin(message.partition(), message.offset(), message.timestamp()[1])
        row = self._twin.row(message.value(), origin=origin)
        self._producer.produce(FEATURES, encode_feature_row(row), key=message.key())
