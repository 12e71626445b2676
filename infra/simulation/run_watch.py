"""Watches the topics of a running system for one run: feature rows, decisions, dead letters.

A thread follows the decisions one by one and reads the clock before it decodes anything, because
their arrival is measured. The other topics are only counted: their records are fetched twice a
second and wake no thread in between. Tells a `RunTracker`; called by the demo.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Message

from clients.kafka import headers_of
from clients.topic_tail import TopicTail
from infra.simulation.run_tracker import RunTracker
from schemas.output_codec import decode_decision
from schemas.topics import DEAD_LETTERS, DECISIONS, FEATURES, read_header

_POLL_S: Final = 0.1
_COUNT_EVERY_MS: Final = 500
_COUNTED_MAX: Final = 10_000
"""Records taken from the counted topics at once; the next time takes the rest."""
_FETCH_BYTES_MIN: Final = 1_000_000
"""More than arrives in `_COUNT_EVERY_MS`, so that the broker waits for as long."""


class RunWatch:
    """Watches from the ends of the topics on, from `__enter__` to `__exit__`.

    Args:
        bootstrap: Kafka's address.
        tracker: told of everything that arrives.

    Raises:
        KafkaUnreachableError: on entry; later failures are raised by `check`.
    """

    def __init__(self, bootstrap: str, tracker: RunTracker) -> None:
        self._bootstrap = bootstrap
        self._tracker = tracker
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        decisions = TopicTail(self._bootstrap, DECISIONS)
        counted = TopicTail(
            self._bootstrap,
            *(FEATURES, DEAD_LETTERS),
            fetch_wait_ms=_COUNT_EVERY_MS,
            fetch_bytes_min=_FETCH_BYTES_MIN,
        )
        self._thread = threading.Thread(
            target=self._run, args=(decisions, counted), name="run-watch", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _run(self, decisions: TopicTail, counted: TopicTail) -> None:
        try:
            with decisions, counted:
                self._watch(decisions, counted)
        except BaseException as error:  # noqa: BLE001 - `check` raises it where it is waited for
            self._failure = error

    def _watch(self, decisions: TopicTail, counted: TopicTail) -> None:
        counted_s = time.monotonic()
        while not self._stopped.is_set():
            message = decisions.poll(_POLL_S)
            if message is not None:
                received_ms = time.time_ns() / 1e6
                self._tracker.decided(decode_decision(message.value()), received_ms=received_ms)
            if time.monotonic() - counted_s >= _COUNT_EVERY_MS / 1_000:
                for message in counted.consume(_COUNTED_MAX, 0):
                    self._count(message)
                counted_s = time.monotonic()

    def _count(self, message: Message) -> None:
        event_id = (read_header(headers_of(message), "ce_id") or b"").decode("utf-8", "replace")
        if message.topic() == FEATURES:
            self._tracker.featured(event_id)
        else:
            self._tracker.refused(event_id)
