"""Follows topics in tests: from their end, or from their beginning, until something is seen.

kafka-python, the ordinary client of users. No consumer group, so that tests do not disturb the
system they watch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from kafka import KafkaConsumer, TopicPartition


@dataclass
class Tail:
    """Records of one topic, in the order of their arrival here.

    Attributes:
        records: everything seen so far; each has key, value, headers, partition, offset.
    """

    consumer: Any
    topic: str
    records: list[Any] = field(default_factory=list)

    def poll(self, *, within_ms: int = 200) -> int:
        """Take in what has arrived; returns how many records there are in all."""
        for batch in self.consumer.poll(timeout_ms=within_ms).values():
            self.records.extend(batch)
        return len(self.records)

    def until(self, is_enough: Callable[[list[Any]], bool], *, within_ms: int) -> list[Any]:
        """Follow the topic until ``is_enough(records)``.

        Raises:
            AssertionError: it did not come to that in time; tells what was last seen.
        """
        deadline_s = time.monotonic() + within_ms / 1_000
        while not is_enough(self.records):
            if time.monotonic() > deadline_s:
                last = self.records[-1].value if self.records else None
                raise AssertionError(
                    f"{self.topic}: not enough after {within_ms} ms; "
                    f"{len(self.records)} records, the last one {last!r}"
                )
            self.poll()
        return self.records

    def objects(self) -> Iterator[dict[str, Any]]:
        """The records' JSON objects."""
        for record in self.records:
            yield orjson.loads(record.value)


@contextmanager
def tail(bootstrap: str, topic: str, *, from_beginning: bool = False) -> Iterator[Tail]:
    """Follow ``topic`` from its end as of now."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=20
    )
    try:
        partitions = [
            TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()
        ]
        assert partitions, f"topic {topic} is missing"
        consumer.assign(partitions)
        if from_beginning:
            consumer.seek_to_beginning(*partitions)
        else:
            consumer.seek_to_end(*partitions)
        for partition in partitions:
            consumer.position(partition)
        yield Tail(consumer, topic)
    finally:
        consumer.close()


def by_transaction(tail_: Tail, ids: set[str]) -> dict[str, list[tuple[Any, dict[str, Any]]]]:
    """Records and their objects by transaction id, of the given ids only."""
    found: dict[str, list[tuple[Any, dict[str, Any]]]] = {}
    for record in tail_.records:
        if record.value is None:
            continue
        obj = orjson.loads(record.value)
        transaction_id = obj.get("transaction_id") or obj["transaction"]["transaction_id"]
        if transaction_id in ids:
            found.setdefault(transaction_id, []).append((record, obj))
    return found
