"""Reads feature rows again by their places in the log; `scoring.core.ports.FeatureLog` on Kafka.

For the repeats that need the first decision's row, for the API and for the command that reports
fraud. Owns one consumer, opened at the first read. A read ends after `READ_S_MAX`, whatever the
broker does.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from clients.kafka import open_consumer
from schemas.decision import Offset

logger = logging.getLogger(__name__)

READ_S_MAX: Final = 2.0
"""Longest time of one call, s: what has not been read by then is given up."""
GAP_MAX: Final = 500
"""Offsets between two wanted rows that are read and dropped; across more, the reader jumps."""
_POLL_S: Final = 0.1
_BATCH_MAX: Final = 500
_NOTHING_COMES: Final = frozenset(
    {
        KafkaError._PARTITION_EOF,  # noqa: SLF001 - its name
        KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001 - its name
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - its name
        KafkaError.OFFSET_OUT_OF_RANGE,
    }
)
"""Errors after which no record of the partition comes: its end, a deleted offset, no partition."""


class KafkaFeatureLog:
    """Reads rows by place; several calls take turns."""

    def __init__(self, *, bootstrap: str, topic: str) -> None:
        """Take the address; nothing is opened before the first read."""
        self._bootstrap = bootstrap
        self._topic = topic
        self._consumer: Consumer | None = None
        self._lock = threading.Lock()

    async def read(self, places: Sequence[Offset]) -> dict[Offset, bytes]:
        """Read rows; see the port for the contract."""
        return await asyncio.to_thread(self.read_now, places) if places else {}

    def read_now(self, places: Sequence[Offset]) -> dict[Offset, bytes]:
        """Read rows and block this thread meanwhile; as `read`."""
        until_s = time.monotonic() + READ_S_MAX
        found: dict[Offset, bytes] = {}
        if not self._lock.acquire(timeout=READ_S_MAX):
            return found
        try:
            if self._consumer is None:
                self._consumer = open_consumer(self._bootstrap, tells_ends=True)
            for partition, offsets in _by_partition(places).items():
                for run in _runs(offsets):
                    self._read_run(self._consumer, partition, run, found, until_s)
        except KafkaException as error:
            logger.warning("feature rows of first decisions were not read: %s", error)
        finally:
            self._lock.release()
        return found

    def close(self) -> None:
        """Close the consumer."""
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _read_run(
        self,
        consumer: Consumer,
        partition: int,
        offsets: Sequence[int],
        found: dict[Offset, bytes],
        until_s: float,
    ) -> None:
        wanted = set(offsets)
        following = offsets[0]
        consumer.assign([TopicPartition(self._topic, partition, following)])
        try:
            while following <= offsets[-1] and time.monotonic() < until_s:
                left = min(_BATCH_MAX, offsets[-1] + 1 - following)
                for message in consumer.consume(left, _POLL_S):
                    offset = cast(int, message.offset())
                    error = message.error()
                    if error is None:
                        following = offset + 1
                        value = message.value()
                        if offset in wanted and value is not None:
                            found[Offset(partition, offset)] = value
                    elif error.code() in _NOTHING_COMES:
                        return
        finally:
            consumer.unassign()


def _by_partition(places: Iterable[Offset]) -> dict[int, list[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    for place in places:
        found[place.partition].add(place.offset)
    return {partition: sorted(offsets) for partition, offsets in found.items()}


def _runs(offsets: Sequence[int]) -> Iterator[Sequence[int]]:
    """Split sorted offsets where the gap is too large.

    Examples:
        >>> list(_runs([1, 2, 502, 1_003]))
        [[1, 2, 502], [1003]]
    """
    start = 0
    for at in range(1, len(offsets) + 1):
        if at == len(offsets) or offsets[at] - offsets[at - 1] > GAP_MAX:
            yield offsets[start:at]
            start = at
