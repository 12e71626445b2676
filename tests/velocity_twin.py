"""An in-memory substitute for the velocity job: the same folds, without Flink.

For tests of the components around the job. `VelocityTwin` folds events directly, `TwinOnKafka` runs
in a thread between the topics of a broker. `broken` changes the rows, as a job with a wrong
aggregate would.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from types import TracebackType

from confluent_kafka import Consumer, Producer

from features.definitions import DEFINITION_DIGEST
from features.engine.state import MerchantState, UserState
from features.on_demand import on_demand_features
from infra.simulation.event import Event
from schemas.codec import decode_label, decode_transaction
from schemas.feature_row import FeatureRow, Origin
from schemas.output_codec import encode_feature_row
from schemas.topics import FEATURES, LABELS, LIBRDKAFKA_PARTITIONER, TRANSACTIONS
from schemas.transaction import Limits

PARTITIONS = 4
_COMPUTED_AT_MS = 4_000_000_000_000

Broken = Callable[[FeatureRow], FeatureRow]


class VelocityTwin:
    """Folds events one at a time."""

    def __init__(self, *, broken: Broken = lambda row: row) -> None:
        self._users: dict[str, UserState] = defaultdict(UserState)
        self._merchants: dict[str, MerchantState] = defaultdict(MerchantState)
        self._offsets: Counter[int] = Counter()
        self.broken = broken

    def row(self, value: bytes, *, origin: Origin) -> FeatureRow:
        """Fold a transaction; gives its feature row."""
        transaction = decode_transaction(value, limits=Limits(), now_ms=0, is_replay=True)
        of_user = self._users[transaction.user_id].fold(
            transaction_id=transaction.transaction_id,
            merchant_id=transaction.merchant_id,
            amount_minor=transaction.amount_minor,
            event_time_ms=transaction.event_time_ms,
        )
        of_merchant = self._merchants[transaction.merchant_id].fold_transaction(
            transaction_id=transaction.transaction_id,
            event_time_ms=transaction.event_time_ms,
            is_repeat=of_user.repeat,
        )
        calendar = on_demand_features(transaction.event_time_ms)
        return self.broken(
            FeatureRow(
                transaction=transaction,
                features={**of_user.features, **of_merchant.features, **calendar},
                approximate=(*of_user.approximate, *of_merchant.approximate),
                definition_digest=DEFINITION_DIGEST,
                repeat=of_user.repeat,
                user_sequence=of_user.sequence,
                merchant_sequence=of_merchant.sequence,
                origin=origin,
                computed_at_ms=_COMPUTED_AT_MS,
            )
        )

    def label(self, value: bytes) -> None:
        """Fold a label."""
        label = decode_label(value, limits=Limits(), now_ms=0, is_replay=True)
        self._merchants[label.merchant_id].fold_label(label)

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
