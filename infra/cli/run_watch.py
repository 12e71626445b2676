"""Watches the logs of a running system for one run: feature rows, decisions, dead letters.

A thread with a librdkafka consumer of decisions, because its `poll` hands a record over as it
arrives; the clock is read before anything is decoded. The other topics are only counted: what is
in them is fetched twice a second by another consumer, and wakes nobody between. Tells a
`RunTracker`; stops at once when that fails.
"""

import threading
import time
from types import TracebackType
from typing import Final, Self, cast

from confluent_kafka import Message, TopicPartition

from clients.kafka import unreachable
from clients.kafka_log import end_offsets, open_consumer
from infra.cli.run_tracker import RunTracker
from schemas.output_codec import decode_decision
from schemas.topics import DEAD_LETTERS, DECISIONS, FEATURES, Headers, read_header

_POLL_S: Final = 0.1
_COUNTED_EACH_MS: Final = 500
_COUNTED_MAX: Final = 10_000
"""Records that one look at the counted topics takes; the next look takes what is left."""


class RunWatch:
    """Watches from the ends of the logs on, from `__enter__` to `__exit__`.

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
        self._thread = threading.Thread(target=self._run, name="run-watch", daemon=True)
        self._decisions = open_consumer(bootstrap)
        self._counted = open_consumer(bootstrap, gather_ms=_COUNTED_EACH_MS)

    def __enter__(self) -> Self:
        self._decisions.assign(self._ends(DECISIONS))
        self._counted.assign(self._ends(FEATURES, DEAD_LETTERS))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._decisions.close()
        self._counted.close()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            counted_s = time.monotonic()
            while not self._stopped.is_set():
                message = self._decisions.poll(_POLL_S)
                if message is not None:
                    self._decided(message, received_ms=time.time_ns() / 1e6)
                if time.monotonic() - counted_s >= _COUNTED_EACH_MS / 1_000:
                    for message in self._counted.consume(_COUNTED_MAX, 0):
                        self._count(message)
                    counted_s = time.monotonic()
        except BaseException as error:  # noqa: BLE001 - `check` raises it where it is waited for
            self._failure = error

    def _ends(self, *topics: str) -> list[TopicPartition]:
        return [
            TopicPartition(topic, partition, offset)
            for topic in topics
            for partition, offset in end_offsets(self._bootstrap, topic).items()
        ]

    def _decided(self, message: Message, *, received_ms: float) -> None:
        self._check_record(message)
        self._tracker.decided(decode_decision(message.value()), received_ms=received_ms)

    def _count(self, message: Message) -> None:
        self._check_record(message)
        headers = cast(Headers | None, message.headers())
        event_id = (read_header(headers, "ce_id") or b"").decode("utf-8", "replace")
        if message.topic() == FEATURES:
            self._tracker.featured(event_id)
        else:
            self._tracker.refused(event_id)

    def _check_record(self, message: Message) -> None:
        if (error := message.error()) is not None:
            raise unreachable(self._bootstrap, error)
