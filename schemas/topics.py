"""Topics: their names, keys, headers and configuration. No other module spells a topic's name.

Knows no Kafka client: headers are lists of ``(str, bytes)``, as confluent-kafka, kafka-python,
aiokafka and Faust use them. Topics of events have ``settings.topic_partitions`` partitions and are
partitioned by Kafka's own murmur2 of the key, so all records of one user, and of one merchant, are
in one partition. The topics of rollouts have one partition, so their records have one order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache

from schemas.errors import InvalidEventError, shown

TRANSACTIONS = "transactions"
LABELS = "labels"
FEATURES = "features"
DECISIONS = "decisions"
SHADOW_DECISIONS = "shadow-decisions"
DEAD_LETTERS = "dead-letters"
ROLLOUTS = "rollouts"
ROLLOUT_STATE = "rollout-state"

TRANSACTION_TYPE = "weir.transaction.v1"
LABEL_TYPE = "weir.label.v1"
FEATURE_ROW_TYPE = "weir.feature-row.v1"
DECISION_TYPE = "weir.decision.v1"
ROLLOUT_CHANGE_TYPE = "weir.rollout-change.v1"
ROLLOUT_STATE_TYPE = "weir.rollout-state.v1"

HEADER_REPLAY = "weir-replay"
REPLAY_HEADER = (HEADER_REPLAY, b"1")
"""Header of each record of a replay; its event time may be ahead of the clock."""

HEADER_CORRECTS = "weir-corrects"
"""Header of a label that the label checker sent: which label named the wrong merchant."""
HEADER_LABELLED_BY = "weir-labelled-by"
"""Header of a label that a person sent with `weir label`: who it was, UTF-8."""

HEADER_CONTROL = "weir-control"
"""Header of a shadow decision: outcome and score of the control for the same row, as JSON."""

PASSED_ON_HEADERS = ("traceparent", "tracestate")
"""The trace context (W3C): feature row and decision have the headers of the transaction."""
PASSED_ON_BYTES_MAX = 512
"""Longest value of such a header; a longer one is not passed on."""
HEADER_TYPE = "ce_type"
HEADER_ID = "ce_id"
OWN_TYPES_START = "weir."
"""What the types of Weir's own records begin with."""

SCORER_GROUP = "weir-scorer"
"""The consumer group of the scorers; its committed offsets show their progress."""

LIBRDKAFKA_PARTITIONER = "murmur2_random"
"""Setting ``partitioner`` of librdkafka clients; their default differs from the Java client's."""

ZSTD_LEVEL = 1
"""Compression level of Weir's producers. At its default level of 3, zstd clears most of a MiB of
tables for each request; at 1 far less, and rows and decisions have 0.97 to 1.01 times the bytes
(measured, docs/benchmarks/history.md)."""

INPUT_BYTES_MAX = 1024 * 1024
"""Largest value of a transaction or a label, decompressed, bytes: what Kafka's default accepts
uncompressed. A larger key, or more bytes of headers, is not read and only described."""
RECORD_BYTES_MAX = 16 * 1024 * 1024
"""Largest record that Weir's producers send, whatever a topic accepts, bytes."""

Headers = Iterable[tuple[str, bytes | None]]

_OWN_TYPES_START = OWN_TYPES_START.encode()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Kept forever by default: the logs are ground state. `retention_config` limits bytes, not time: a
# replayed record may carry a timestamp of years ago and would be deleted at once.
_KEPT = {"cleanup.policy": "delete", "retention.ms": "-1"}


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic.

    Attributes:
        name: the topic's name.
        key: what Weir keys its records by, mostly a field; None if records keep the key they have.
        event_type: the ``ce_type`` of its records, None if it holds several types.
        config: Kafka's topic settings.
        partitions: how many; None for ``settings.topic_partitions``.
    """

    name: str
    key: str | None
    event_type: str | None
    config: Mapping[str, str] = field(default_factory=_KEPT.copy)
    partitions: int | None = None


_DEAD_LETTER_CONFIG = {
    **_KEPT,
    # A dead letter is a record plus headers, so a record of the largest size that the other topics
    # accept must still fit: their limit is Kafka's default, 1 MiB. It applies to compressed
    # records, so there are larger ones; `schemas.shortened_dead_letter` makes those fit.
    "max.message.bytes": str(2 * 1024 * 1024),
    # The timestamp stays that of the record, which another topic has accepted.
    "message.timestamp.after.max.ms": str(2**63 - 1),
}

# No two changes of rollouts have the same key, so compaction keeps them all.
_COMPACTED = {"cleanup.policy": "compact", "retention.ms": "-1"}
_OF_ROLLOUT_STATE = {
    **_COMPACTED,
    # Kafka compacts closed segments only. The controller writes a snapshot every second or so, and
    # a start reads all that is not compacted yet.
    "segment.bytes": str(16 * 1024 * 1024),
    "segment.ms": str(60 * 60 * 1000),
}

TOPICS = (
    TopicSpec(TRANSACTIONS, key="user_id", event_type=TRANSACTION_TYPE),
    TopicSpec(LABELS, key="merchant_id", event_type=LABEL_TYPE),
    TopicSpec(FEATURES, key="user_id", event_type=FEATURE_ROW_TYPE),
    TopicSpec(DECISIONS, key="user_id", event_type=DECISION_TYPE),
    TopicSpec(SHADOW_DECISIONS, key="user_id", event_type=DECISION_TYPE),
    TopicSpec(DEAD_LETTERS, key=None, event_type=None, config=_DEAD_LETTER_CONFIG),
    TopicSpec(
        ROLLOUTS,
        key="rollout_id/change_id",
        event_type=ROLLOUT_CHANGE_TYPE,
        config=_COMPACTED,
        partitions=1,
    ),
    TopicSpec(
        ROLLOUT_STATE,
        key="rollout_id",
        event_type=ROLLOUT_STATE_TYPE,
        config=_OF_ROLLOUT_STATE,
        partitions=1,
    ),
)


SEGMENT_BYTES_MIN = 1024 * 1024
SEGMENT_BYTES_MAX = 1024 * 1024 * 1024
"""Limits of Kafka's segments, bytes; the upper one is Kafka's default."""


def retention_config(*, mib: int, partitions: int) -> dict[str, str]:
    """Give the settings of a topic that keeps its newest records only.

    Kafka deletes whole segments, the oldest first, and never the one that it writes. So segments
    are an eighth of what is kept of a partition.

    Args:
        mib: what is kept, over all partitions, MiB; 0 changes nothing.
        partitions: of the topic.

    Examples:
        >>> retention_config(mib=64, partitions=4)
        {'retention.bytes': '16777216', 'segment.bytes': '2097152'}
        >>> retention_config(mib=0, partitions=4)
        {}
    """
    if not mib:
        return {}
    kept = max(mib * 1024 * 1024 // partitions, SEGMENT_BYTES_MIN)
    segment = min(max(kept // 8, SEGMENT_BYTES_MIN), SEGMENT_BYTES_MAX)
    return {"retention.bytes": str(kept), "segment.bytes": str(segment)}


def cloud_event_headers(
    *, event_type: str, event_id: str | bytes, source: str, time_ms: int
) -> list[tuple[str, bytes]]:
    """Give the headers of one record, CloudEvents 1.0 in binary mode.

    Args:
        event_type: one of the ``*_TYPE`` names above.
        event_id: identity of the event, our ``transaction_id``; text, or its UTF-8 bytes.
        source: the writer, a path such as ``/weir/streams``.
        time_ms: when it happened, in ms since 1970 UTC, up to the year 9999.

    Examples:
        >>> headers = cloud_event_headers(
        ...     event_type=LABEL_TYPE, event_id="t-1", source="/shop", time_ms=1
        ... )
        >>> dict(headers)["ce_time"]
        b'1970-01-01T00:00:00.001Z'
    """
    return [
        *_cloud_event_constants(event_type=event_type, source=source),
        (HEADER_ID, event_id.encode() if isinstance(event_id, str) else event_id),
        ("ce_time", _time_bytes(time_ms)),
    ]


@cache
def _cloud_event_constants(*, event_type: str, source: str) -> tuple[tuple[str, bytes], ...]:
    # The same for all events of one type from one source.
    return (
        ("ce_specversion", b"1.0"),
        (HEADER_TYPE, event_type.encode()),
        ("ce_source", source.encode()),
        ("content-type", b"application/json"),
    )


def _time_bytes(time_ms: int) -> bytes:
    second, rest_ms = divmod(time_ms, 1_000)
    return b"%s.%03dZ" % (_second_bytes(second), rest_ms)


@lru_cache(maxsize=1_024)
def _second_bytes(second: int) -> bytes:
    # Consecutive events share their second; formatting it costs more than everything else here.
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat().encode()


def read_header(headers: Headers | None, name: str) -> bytes | None:
    """Give the last header of this name, as Kafka's own ``lastHeader`` does, or None."""
    found: bytes | None = None
    for header, value in headers or ():
        if header == name:
            found = value
    return found


def is_replay(headers: Headers | None) -> bool:
    """Say whether a record belongs to a replay: header ``weir-replay`` is exactly ``1``."""
    return read_header(headers, HEADER_REPLAY) == b"1"


def passed_on(headers: Headers | None) -> list[tuple[str, bytes]]:
    """Give the headers of a record that what is made from it has, too: the trace context.

    Examples:
        >>> passed_on([("traceparent", b"00-1-2-01"), ("other", b"1")])
        [('traceparent', b'00-1-2-01')]
    """
    found = {name: value for name, value in headers or () if name in PASSED_ON_HEADERS}
    return [
        (name, value)
        for name in PASSED_ON_HEADERS
        if (value := found.get(name)) is not None and len(value) <= PASSED_ON_BYTES_MAX
    ]


def check_event_type(headers: Headers | None, *, expected: str) -> None:
    """Refuse a record of Weir's that is in a topic of another type.

    Kafka clients have put records into the wrong topic (apache/kafka#21286), and one JSON object
    may be valid as another. A record without a type, or with a producer's own type, is accepted,
    because its body decides.

    Raises:
        InvalidEventError: the type starts with ``weir.`` and is not ``expected``.
    """
    given = read_header(headers, HEADER_TYPE)
    if given is None or not given.startswith(_OWN_TYPES_START) or given == expected.encode():
        return
    name = shown(given.decode("utf-8", "backslashreplace"))
    raise InvalidEventError(HEADER_TYPE, f"is {name}, this topic holds {expected}")
