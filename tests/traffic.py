"""Small live traffic for tests, with unique ids, so that tests do not see each other's events."""

from __future__ import annotations

import random
import threading
import time
import uuid
from types import TracebackType
from typing import Any

import orjson
from kafka import KafkaProducer

from schemas import topics


def now_ms() -> int:
    """The wall clock, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def live_transaction(prefix: str, number: int, **changes: Any) -> dict[str, Any]:
    """A valid transaction of now; users and merchants repeat, so that windows fill."""
    return {
        "transaction_id": f"{prefix}-{number}",
        "user_id": f"{prefix}-u{number % 7}",
        "merchant_id": f"{prefix}-m{number % 5}",
        "amount_minor": 100 + number,
        "currency": "EUR",
        "event_time_ms": now_ms(),
        "device_type": "ios",
        "ip_country": "DE",
        **changes,
    }


class Traffic:
    """Sends transactions at a steady rate from a thread until the ``with`` block ends.

    Args:
        bootstrap: Kafka's address.
        rate: transactions a second.
        users: number of users.
    """

    def __init__(self, bootstrap: str, *, rate: float, users: int) -> None:
        self.prefix = uuid.uuid4().hex[:8]
        self.seed = random.randrange(2**32)
        self.sent: dict[str, dict[str, Any]] = {}
        self._bootstrap = bootstrap
        self._rate = rate
        self._users = users
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")
        self._failure: BaseException | None = None

    def __enter__(self) -> Traffic:
        print(f"traffic {self.prefix}, seed {self.seed}")
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
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        rng = random.Random(self.seed)
        try:
            producer = KafkaProducer(bootstrap_servers=self._bootstrap, linger_ms=2)
            start_s = time.monotonic()
            while not self._stop.is_set():
                number = len(self.sent)
                self._stop.wait(max(0.0, start_s + number / self._rate - time.monotonic()))
                event = live_transaction(
                    self.prefix,
                    number,
                    user_id=f"{self.prefix}-u{rng.randrange(self._users)}",
                    merchant_id=f"{self.prefix}-m{rng.randrange(50)}",
                    amount_minor=rng.randrange(1, 50_000),
                )
                self.sent[event["transaction_id"]] = event
                producer.send(
                    topics.TRANSACTIONS,
                    key=event["user_id"].encode(),
                    value=orjson.dumps(event),
                )
            producer.flush()
            producer.close()
        except BaseException as failure:  # noqa: BLE001  # raised again at the end of the block
            self._failure = failure
