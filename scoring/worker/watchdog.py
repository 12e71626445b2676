"""The watchdog: ends the process when there is lag but no progress, or another topic.

Faust consumers have hung without an error (faust-streaming #175, #523, #549, #596). When the
process ends, the supervisor restarts it. `StallDetector` is the rule and is pure; `GroupProgress`
asks the broker; `Watchdog` is the thread that connects both. Called by ``app.py``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

logger = logging.getLogger(__name__)

STALL_MS_MAX = 60_000
"""How long there may be lag without progress, ms. Longer than a rebalance (session timeout 10 s)
and than a restart of the broker, so that only a hang ends the process."""
CHECK_INTERVAL_MS = 5_000
"""Time between two checks, ms."""
BROKER_TIMEOUT_S = 5.0
"""Timeout of one request to the broker, s."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a consumer group in one topic.

    Attributes:
        lag: offsets between the committed offset and the end, summed over the partitions. 0 for a
            partition that has only offsets without a record there.
        committed: sum of the committed offsets; grows when any member makes progress.
    """

    lag: int
    committed: int


class StallDetector:
    """Detects lag without progress for too long. Pure: time is an argument.

    Progress is any of: no lag, a commit of any member of the group, a row processed here. So a
    member without partitions is not stalled while other members work, and without new events no
    member is stalled.

    Examples:
        >>> detector = StallDetector(stall_ms_max=10)
        >>> [detector.is_stalled(Progress(5, 100), processed=7, now_ms=ms) for ms in (0, 10, 11)]
        [False, False, True]
    """

    def __init__(self, *, stall_ms_max: int) -> None:
        """Start without an observation.

        Args:
            stall_ms_max: how long there may be lag without progress, ms.
        """
        self._stall_ms_max = stall_ms_max
        self._seen: tuple[int, int] | None = None
        self._since_ms = 0.0

    def is_stalled(self, progress: Progress | None, *, processed: int, now_ms: float) -> bool:
        """Add one observation; whether the process is stalled.

        Args:
            progress: of the group; None if the broker did not answer, which does not count as a
                stall.
            processed: rows that this process has processed so far.
            now_ms: a monotonic clock, ms.
        """
        seen = None if progress is None else (progress.committed, processed)
        if progress is None or progress.lag == 0 or seen != self._seen:
            self._seen = seen
            self._since_ms = now_ms
            return False
        return now_ms - self._since_ms > self._stall_ms_max


class ProgressSource(Protocol):
    """Gives the progress of the group. `Watchdog` calls it from its thread."""

    def progress(self) -> Progress | None:
        """Give the progress; None if the broker does not answer. Blocks: about 5 s a request."""
        ...


class GroupProgress:
    """Asks the broker without joining the group."""

    def __init__(self, *, bootstrap: str, group: str, topic: str) -> None:
        """Make a client that neither subscribes nor commits."""
        self._topic = topic
        self._committed: dict[int, int] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "client.id": "weir-scorer-watchdog",
            }
        )

    def progress(self) -> Progress | None:
        """Read the committed offset and the end of every partition."""
        try:
            return self._ask()
        except KafkaException as error:
            logger.info("the broker did not answer the watchdog: %s", error)
            return None

    def _ask(self) -> Progress | None:
        metadata = self._consumer.list_topics(self._topic, timeout=BROKER_TIMEOUT_S)
        partitions = [
            TopicPartition(self._topic, number)
            for number in metadata.topics[self._topic].partitions
        ]
        lag = committed = 0
        for place in self._consumer.committed(partitions, timeout=BROKER_TIMEOUT_S):
            first, end = self._consumer.get_watermark_offsets(place, timeout=BROKER_TIMEOUT_S)
            # Negative without a commit: the group starts at the first record.
            done = place.offset if place.offset >= 0 else first
            lag += self._lag(place.partition, done=done, end=end)
            committed += done
        return Progress(lag=lag, committed=committed)

    def _lag(self, partition: int, *, done: int, end: int) -> int:
        """Offsets that are not committed; 0 if none of them has a record.

        A transaction leaves a marker at its end, and offsets of records that were aborted. No
        record can be committed after them, so they are no lag. They are looked for only if the
        committed offset has not moved since the last call.
        """
        has_moved = self._committed.get(partition) != done
        self._committed[partition] = done
        if done >= end or not (has_moved or self._has_record(partition, start=done)):
            return 0
        return end - done

    def _has_record(self, partition: int, *, start: int) -> bool:
        """Whether a record can be read at or after an offset; True if the broker is slow."""
        self._consumer.assign([TopicPartition(self._topic, partition, start)])
        try:
            message = self._consumer.poll(BROKER_TIMEOUT_S)
        finally:
            self._consumer.unassign()
        error = None if message is None else message.error()
        return error is None or error.code() != KafkaError._PARTITION_EOF  # noqa: SLF001 - its name


class Watchdog:
    """Looks for a stall or another topic, in its own thread, and calls ``on_stall`` once."""

    def __init__(
        self,
        source: ProgressSource,
        *,
        processed: Callable[[], int],
        on_stall: Callable[[str], None],
        clock_ms: Callable[[], float],
        replacement: Callable[[], str | None] = lambda: None,
        stall_ms_max: int = STALL_MS_MAX,
        check_interval_ms: int = CHECK_INTERVAL_MS,
    ) -> None:
        """Store the parts; `start` starts the thread.

        Args:
            source: gives the progress of the group.
            processed: gives the rows that this process has processed so far.
            on_stall: ends the process; called with the reason.
            clock_ms: a monotonic clock, ms.
            replacement: gives the reason to end the process at once, if there is one.
            stall_ms_max: how long there may be lag without progress, ms.
            check_interval_ms: time between two checks, ms.
        """
        self._source = source
        self._processed = processed
        self._on_stall = on_stall
        self._clock_ms = clock_ms
        self._replacement = replacement
        self._check_interval_s = check_interval_ms / 1000
        self._stall_ms_max = stall_ms_max
        self._detector = StallDetector(stall_ms_max=stall_ms_max)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread; it runs even if the event loop hangs."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread before its next check; does not wait for it."""
        self._stopping.set()

    def _run(self) -> None:
        self._replacement()
        while not self._stopping.wait(self._check_interval_s):
            if (reason := self._replacement()) is not None:
                self._on_stall(reason)
                return
            progress = self._source.progress()
            if self._detector.is_stalled(
                progress, processed=self._processed(), now_ms=self._clock_ms()
            ):
                self._on_stall(f"{progress} and no progress for more than {self._stall_ms_max} ms")
                return
