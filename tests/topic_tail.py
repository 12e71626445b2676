"""Follows a topic in tests: from its end, or from its beginning, until something is seen.

`clients.topic_tail` follows it; here the records are kept, and waiting has a limit that says what
was seen last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from clients.kafka import to_record
from clients.kafka_log import offset_ranges
from clients.log_record import Record
from clients.topic_tail import TopicTail

_TAKEN_MAX = 10_000


@dataclass
class Tail:
    """Records of one topic, in the order of their arrival here.

    Attributes:
        records: everything seen so far.
    """

    source: TopicTail
    topic: str
    records: list[Record] = field(default_factory=list)

    def poll(self, *, within_ms: int = 200) -> int:
        """Wait for a record, take all that have arrived; returns how many there are in all."""
        message = self.source.poll(within_ms / 1_000)
        if message is not None:
            more = self.source.consume(_TAKEN_MAX, 0)
            self.records += [to_record(each) for each in (message, *more)]
        return len(self.records)

    def until(self, is_enough: Callable[[list[Record]], bool], *, within_ms: int) -> list[Record]:
        """Follow the topic until ``is_enough(records)``.

        Raises:
            AssertionError: it was not enough in time; says what was seen last.
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
            yield orjson.loads(record.value or b"")


@contextmanager
def tail(bootstrap: str, topic: str, *, from_beginning: bool = False) -> Iterator[Tail]:
    """Follow ``topic`` from its end as of now, or from its beginning."""
    start = None
    if from_beginning:
        ranges = offset_ranges(bootstrap, topic)[topic]
        start = {topic: {partition: range_.first for partition, range_ in ranges.items()}}
    with TopicTail(bootstrap, topic, start=start) as source:
        yield Tail(source, topic)


def by_transaction(tail_: Tail, ids: set[str]) -> dict[str, list[tuple[Record, dict[str, Any]]]]:
    """Records and their objects by transaction id, of the given ids only."""
    found: dict[str, list[tuple[Record, dict[str, Any]]]] = {}
    for record in tail_.records:
        if record.value is None:
            continue
        obj = orjson.loads(record.value)
        transaction_id = obj.get("transaction_id") or obj["transaction"]["transaction_id"]
        if transaction_id in ids:
            found.setdefault(transaction_id, []).append((record, obj))
    return found
