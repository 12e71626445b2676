"""Reads records that aiokafka cannot decode: it stops at a header whose name is not UTF-8.

Kafka does not check the names of headers, so any producer can write such a record. librdkafka reads
it, without its headers. `DirectConsumer` calls this module for the next records of a partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from clients.kafka_log import TopicLog
from scoring.worker.direct_consumer import LenientRead


class LenientRecord(NamedTuple):
    """A record with the attributes of aiokafka's."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


def lenient_reader(bootstrap: str) -> LenientRead:
    """Make the reader of a broker."""
    return partial(read_records, bootstrap)


def read_records(
    bootstrap: str, topic: str, partition: int, start: int, count_max: int
) -> list[LenientRecord]:
    """Read records from an offset on, up to the end as of now.

    Blocks: up to half a minute, if the broker does not answer.

    Raises:
        KafkaUnreachableError: no answer.
    """
    with TopicLog(bootstrap, topic) as log:
        first, end = log.ranges[partition]
        records = log.read(partition, first=max(start, first), end=end)
        return [
            LenientRecord(
                topic=topic,
                partition=record.partition,
                offset=record.offset,
                timestamp=record.timestamp_ms,
                timestamp_type=0,
                key=record.key,
                value=record.value,
                headers=record.headers,
            )
            for record in islice(records, count_max)
        ]
