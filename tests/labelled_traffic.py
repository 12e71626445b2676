"""Live traffic with reports of fraud that come a moment later, for stories of rollouts."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from types import TracebackType
from typing import Any

import orjson
from confluent_kafka import Producer

from schemas import topics
from tests.traffic import live_transaction, now_ms

FRAUD_EACH = 12
"""Each so many transactions is a fraud."""


class LabelledTraffic:
    """Sends transactions at a steady rate, and the labels of the frauds, until the block ends.

    Attributes:
        sent: ids of the transactions, in their order.
    """

    def __init__(self, bootstrap: str, *, rate: float, users: int, label_after_s: float) -> None:
        self.prefix = uuid.uuid4().hex[:8]
        self.sent: list[str] = []
        self._rate = rate
        self._users = users
        self._label_after_s = label_after_s
        self._labels: deque[tuple[float, dict[str, Any]]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": topics.LIBRDKAFKA_PARTITIONER,
                "linger.ms": 2,
            }
        )

    def __enter__(self) -> LabelledTraffic:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        assert self._producer.flush(30) == 0

    def _run(self) -> None:
        start_s = time.monotonic()
        while not self._stop.is_set():
            number = len(self.sent)
            self._stop.wait(max(0.0, start_s + number / self._rate - time.monotonic()))
            event = live_transaction(
                self.prefix, number, user_id=f"{self.prefix}-u{number * 7919 % self._users}"
            )
            self._send(topics.TRANSACTIONS, event["user_id"], event)
            self.sent.append(event["transaction_id"])
            if number % FRAUD_EACH == 0:
                self._labels.append((time.monotonic() + self._label_after_s, event))
            while self._labels and self._labels[0][0] <= time.monotonic():
                self._label(self._labels.popleft()[1])

    def _label(self, event: dict[str, Any]) -> None:
        label = {
            "transaction_id": event["transaction_id"],
            "merchant_id": event["merchant_id"],
            "event_time_ms": event["event_time_ms"],
            "observed_time_ms": now_ms(),
            "is_fraud": True,
        }
        self._send(topics.LABELS, event["merchant_id"], label)

    def _send(self, topic: str, key: str, event: dict[str, Any]) -> None:
        self._producer.produce(topic, orjson.dumps(event), key=key)
        self._producer.poll(0)
