"""A producer with Kafka transactions: what it commits counts, what it aborts never happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka import Producer

from tests.services import unique_name

_ANSWER_S = 30.0


class TransactionalProducer:
    """Sends batches of values to one partition, each in a transaction of its own."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "transactional.id": unique_name("transactions"),
                "log_level": 0,
            }
        )
        self._producer.init_transactions(_ANSWER_S)

    def commit(self, values: Iterable[bytes], *, partition: int = 0, key: bytes = b"k") -> None:
        """Send values and commit them."""
        with self.open(values, partition=partition, key=key):
            pass

    def abort(self, values: Iterable[bytes], *, partition: int = 0, key: bytes = b"k") -> None:
        """Send values, wait until the broker has them, and abort."""
        self._begin(values, partition=partition, key=key)
        self._producer.abort_transaction(_ANSWER_S)

    @contextmanager
    def open(
        self, values: Iterable[bytes], *, partition: int = 0, key: bytes = b"k"
    ) -> Iterator[None]:
        """Send values, and commit them at the end of the block."""
        self._begin(values, partition=partition, key=key)
        yield
        self._producer.commit_transaction(_ANSWER_S)

    def _begin(self, values: Iterable[bytes], *, partition: int, key: bytes) -> None:
        self._producer.begin_transaction()
        for value in values:
            self._producer.produce(self._topic, value, key, partition)
        assert self._producer.flush(_ANSWER_S) == 0
