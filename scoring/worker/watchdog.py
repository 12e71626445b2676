"""The watchdog: ends a process that has work and does nothing.

Faust consumers have hung without an error (faust-streaming #175, #523, #549, #596); a hang that
ends the process is a restart by the supervisor. `StallDetector` is the rule, pure; `Watchdog` is
the thread that feeds it what the broker says of the group and ends the process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition

logger = logging.getLogger(__name__)

STALL_MS_MAX = 60_000
"""How long nothing may move while there is work, ms. Longer than a rebalance (session timeout
10 s) and than a broker's restart, so that it ends hangs and not patience."""
LOOK_MS = 5_000
"""Time between two looks, ms."""
BROKER_TIMEOUT_S = 5.0
"""Longest wait for one answer of the broker, s."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a consumer group is in one topic.

    Attributes:
        lag: records behind the end, over all partitions.
        committed: sum of the committed offsets; grows when any member makes progress.
    """

    lag: int
    committed: int


class StallDetector:
    """Says when there has been work and no progress for too long. Pure: time is an argument.

    Progress is any of: no lag, a commit of any member of the group, a row processed here. So a
    member without a partition is not stalled while others work, and nobody is while nothing
    comes in.

    Examples:
        >>> stalled = StallDetector(stall_ms_max=10)
        >>> [stalled.look(Progress(5, 100), processed=7, now_ms=ms) for ms in (0, 10, 11)]
        [False, False, True]
    """

    def __init__(self, *, stall_ms_max: int) -> None:
        """Start with no opinion.

        Args:
            stall_ms_max: how long nothing may move while there is lag, ms.
        """
        self._stall_ms_max = stall_ms_max
        self._seen: tuple[int, int] | None = None
        self._since_ms = 0.0

    def look(self, progress: Progress | None, *, processed: int, now_ms: float) -> bool:
        """Take in one look and say whether the process is stalled.

        Args:
            progress: of the group; None when the broker did not say, which is not our stall.
            processed: rows this process has processed so far.
            now_ms: a clock that never goes back, ms.
        """
        seen = None if progress is None else (progress.committed, processed)
        if progress is None or progress.lag == 0 or seen != self._seen:
            self._seen = seen
            self._since_ms = now_ms
            return False
        return now_ms - self._since_ms > self._stall_ms_max


class ProgressSource(Protocol):
    """Asks how far the group is. Called by `Watchdog` from its thread."""

    def progress(self) -> Progress | None:
        """Give the progress, None when the broker does not answer. Blocks: some 5 s a call."""
        ...


class GroupProgress:
    """Asks the broker, without being a member of the group."""

    def __init__(self, *, bootstrap: str, group: str, topic: str) -> None:
        """Make a client that reads offsets only; it neither subscribes nor commits."""
        self._topic = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "client.id": "weir-scorer-watchdog",
            }
        )

    def progress(self) -> Progress | None:
        """Ask for end and committed offset of every partition."""
        try:
            return self._ask()
        except KafkaException as error:
            logger.info("the watchdog got no answer from the broker: %s", error)
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
            # Negative: nothing committed yet, so the group starts at the first record.
            done = place.offset if place.offset >= 0 else first
            lag += max(0, end - done)
            committed += done
        return Progress(lag=lag, committed=committed)


class Watchdog:
    """Looks every ``LOOK_MS`` and calls ``on_stall`` once, from its own thread."""

    def __init__(
        self,
        source: ProgressSource,
        *,
        processed: Callable[[], int],
        on_stall: Callable[[str], None],
        clock_ms: Callable[[], float],
        stall_ms_max: int = STALL_MS_MAX,
        look_ms: int = LOOK_MS,
    ) -> None:
        """Take the parts; `start` starts looking.

        Args:
            source: where the group's progress comes from.
            processed: gives the rows processed by this process so far.
            on_stall: ends the process; gets the reason.
            clock_ms: a clock that never goes back, ms.
            stall_ms_max: how long nothing may move while there is lag, ms.
            look_ms: time between two looks, ms.
        """
        self._source = source
        self._processed = processed
        self._on_stall = on_stall
        self._clock_ms = clock_ms
        self._look_s = look_ms / 1000
        self._stall_ms_max = stall_ms_max
        self._detector = StallDetector(stall_ms_max=stall_ms_max)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start looking, in a thread that works when the event loop does not."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking, soon."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._look_s):
            progress = self._source.progress()
            if self._detector.look(progress, processed=self._processed(), now_ms=self._clock_ms()):
                self._on_stall(
                    f"{progress} and nothing processed for more than {self._stall_ms_max} ms"
                )
                return
