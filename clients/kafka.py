"""The shared way to Kafka with confluent-kafka: first contact, consumers, records, error texts.

`topic_partitions` is the first call of every command: it fails at once where no broker is. Readers
are `clients.kafka_log` (a whole log) and `clients.topic_tail` (from the end on). No consumer here
belongs to a group or commits, so reading leaves no trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import methodcaller
from types import TracebackType
from typing import Final, Literal, Self, TypeVar, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient

from clients.errors import KafkaUnreachableError
from clients.log_record import Record
from clients.probes import kafka_answers

ANSWER_S_MAX: Final = 10.0
RECEIVED_BYTES_MAX: Final = 1_000_000_000
"""Limit of decompression, bytes. With the client's own limit of 100 MB, a larger record that is
compressed with zstd cannot be read, nor what comes after it."""
FETCH_BACKOFF_MS: Final = 10
"""How long a client that has fetched enough ahead waits before it looks again, ms. The client's own
second is longer than a fast reader needs for what was fetched."""
RECONNECT_MS_MAX: Final = 1_000
"""Longest time between two attempts to reach a broker, ms; the client's own is 10 s."""
FIRST_ANSWER_S_MAX: Final = 5.0
_RETRY_S: Final = 0.1
_TEMPORARY: Final = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_CONTROLLER,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError._WAIT_COORD,  # noqa: SLF001 - its name
    }
)
"""Errors that pass by themselves, of a broker that has just started for example. The client calls
only those `retriable` that concern Kafka transactions."""
_HEADERS: Final = methodcaller("headers")
"""For a name that is not UTF-8, the client's method gives a result *and* sets an error. A plain
call may ignore the error, which a later call then raises; this one raises it, as SystemError."""

T = TypeVar("T")


def unreachable(bootstrap: str, error: KafkaException | KafkaError | str) -> KafkaUnreachableError:
    """Make the error that names the address, the setting, the cause and what to do."""
    cause = error.args[0] if isinstance(error, KafkaException) else error
    why = cause.str() if isinstance(cause, KafkaError) else cause
    return KafkaUnreachableError(
        f"Kafka does not answer at {bootstrap} (setting WEIR_KAFKA_BOOTSTRAP): {why}; "
        "start the stack with `weir up`"
    )


def with_retries(bootstrap: str, request: Callable[[], T]) -> T:
    """Send a request, again while the error is temporary.

    A new topic has no leader at first, for example, and a broker that has just started loads the
    offsets of consumer groups.

    Raises:
        KafkaUnreachableError: a permanent error, or a temporary one that has not passed within
            `ANSWER_S_MAX`.
    """
    until_s = time.monotonic() + ANSWER_S_MAX
    while True:
        try:
            return request()
        except KafkaException as error:
            cause = error.args[0]
            is_temporary = isinstance(cause, KafkaError) and (
                cause.retriable() or cause.code() in _TEMPORARY
            )
            if not is_temporary or time.monotonic() >= until_s:
                raise unreachable(bootstrap, error) from error
            time.sleep(_RETRY_S)


def topic_partitions(bootstrap: str, topics: tuple[str, ...]) -> dict[str, list[int]]:
    """Ask the broker for the partitions of topics.

    Raises:
        KafkaUnreachableError: no answer, or a topic is missing.
    """
    _check_broker(bootstrap)
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        known = admin.list_topics(timeout=FIRST_ANSWER_S_MAX).topics
    except KafkaException as error:
        raise unreachable(bootstrap, error) from error
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise KafkaUnreachableError(
            f"Kafka at {bootstrap} has no topic {', '.join(missing)}; `weir up` creates them"
        )
    return {topic: sorted(known[topic].partitions) for topic in topics}


def open_consumer(
    bootstrap: str,
    *,
    fetch_wait_ms: int = 100,
    fetch_bytes_min: int = 1,
    queue_bytes_max: int = 64 * 1024 * 1024,
    tells_ends: bool = False,
    offset_reset: Literal["error", "earliest"] = "error",
    checks_crcs: bool = False,
) -> Consumer:
    """Open a consumer that reads only the partitions and offsets it is assigned.

    By default a record arrives as soon as the broker has it.

    Args:
        bootstrap: Kafka's address.
        fetch_wait_ms: how long the broker waits for ``fetch_bytes_min`` before it answers.
        fetch_bytes_min: answers smaller than this wait.
        queue_bytes_max: how much the client may fetch ahead of its caller.
        tells_ends: whether a message with the error ``_PARTITION_EOF`` comes at the end of a
            partition; its offset is the next one to read.
        offset_reset: what an offset does that the log does not have: give an error, or continue
            with the first record of the log.
        checks_crcs: whether the checksum of each batch is compared. A batch with another one is
            left out, and a message with the error ``_BAD_MSG`` says so.
    """
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            # The client requires a name; without subscriptions and commits there is no group.
            "group.id": "weir-reader",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": offset_reset,
            "fetch.min.bytes": fetch_bytes_min,
            "fetch.wait.max.ms": fetch_wait_ms,
            "queued.max.messages.kbytes": queue_bytes_max // 1024,
            "fetch.queue.backoff.ms": FETCH_BACKOFF_MS,
            "reconnect.backoff.max.ms": RECONNECT_MS_MAX,
            "check.crcs": checks_crcs,
            "receive.message.max.bytes": RECEIVED_BYTES_MAX,
            "enable.partition.eof": tells_ends,
            "log_level": 0,
        }
    )


class ConsumerOwner:
    """A reader with one consumer: a context manager that closes it."""

    _consumer: Consumer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._consumer.close()


def to_record(message: Message, *, values_only: bool = False) -> Record:
    """Convert a message of the client; it must not be an error.

    Args:
        message: with a place and a value.
        values_only: leave out headers and key, which take more than half of the time: 2.5 us
            instead of 5.9 for a record with 7 headers, reading included.
    """
    if values_only:
        return Record(
            cast(int, message.partition()),
            cast(int, message.offset()),
            message.timestamp()[1],
            message.value(),
        )
    return Record(
        cast(int, message.partition()),
        cast(int, message.offset()),
        message.timestamp()[1],
        message.value(),
        headers_of(message),
        message.key(),
    )


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """Give the headers of a message; none if a name is not UTF-8, which Kafka does not check."""
    try:
        return cast(list[tuple[str, bytes | None]], _HEADERS(message) or [])
    except SystemError:
        return []


def _check_broker(bootstrap: str) -> None:
    """Fail at once where no broker answers: librdkafka would try until its time limit."""
    try:
        if any(kafka_answers(address.strip()) for address in bootstrap.split(",")):
            return
    except ValueError as error:
        raise unreachable(bootstrap, f"{error}; write host:port[,host:port]") from error
    raise unreachable(bootstrap, "connection refused, or no Kafka broker behind it")
