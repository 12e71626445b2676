"""Records that a producer can send and that once stopped the stream: codecs, sizes, transactions.

Used by the test of the whole system. A record here is refused, except for those that `is_valid`
says are transactions like any other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import Message, Producer

from infra.local.codecs import CODECS
from schemas import topics
from tests.services import unique_name
from tests.traffic import live_transaction

MIB = 1024 * 1024
_ANSWER_S = 60.0

Place = tuple[str, int, int]
"""Topic, partition, offset."""
Headers = list[tuple[str, str | bytes | None]]

_VALUES: tuple[bytes | None, ...] = (
    None,
    b"",
    b"\x00\x01\xff",
    b"\xef\xbb\xbf{}",
    b'{"user_id":"\xc3\x28"}',
    b'{"user_id":"a","user_id":"b"}',
    b'{"amount_minor":NaN}',
    b"[" * 100_000,
    b'{"note":' + b"1" * 1_500 + b',"user_id":"x"}',
    b'{"oops": "' + b"x" * 1_040_000 + b'"}',
    b'{"oops": "' + b"x" * 3 * MIB + b'"}',
    b'{"user_id": "' + b"u" * 3 * MIB + b'"}',
    random.Random(1).randbytes(300_000),
)
_KEYS = (None, b"", b"k", b"\xff\xfe", b"k" * 1_000_000, b"k" * 3 * MIB)
_HEADERS: tuple[Headers, ...] = (
    [],
    [("trace", b"\x00\xff"), ("", None)],
    [("weir-replay", b"1"), ("weir-shortened", b"value"), ("weir-value-length", b"\xff" * 90)],
    [("ce_type", b"weir.decision.v1")],
    [(f"h{number}", b"") for number in range(12_000)],
    [("long", b"t" * 3 * MIB)],
    [("n" * 70_000, b"")],
    [("__connect.errors.topic", b"labels"), ("__connect.errors.offset", b"no number")],
)
_TIMESTAMPS_MS = (0, 0, 1, -5, -(2**62))
"""0 is "now"."""


@dataclass(frozen=True)
class HostileRecord:
    """One record, and how it is sent."""

    codec: str
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    is_valid: bool = False
    transaction_id: str = ""


def draw(count: int, *, seed: int, prefix: str) -> Iterator[HostileRecord]:
    """Give so many records; the seed chooses. Every eighth is a transaction, most are valid."""
    drawn = random.Random(seed)
    for number in range(count):
        odd: dict[str, Any] = {
            "codec": drawn.choice(("none", *CODECS)),
            "headers": drawn.choice(_HEADERS),
            "timestamp_ms": drawn.choice(_TIMESTAMPS_MS),
            "key": drawn.choice(_KEYS),
        }
        if number % 8:
            topic = drawn.choice((topics.TRANSACTIONS, topics.LABELS))
            yield HostileRecord(topic=topic, value=drawn.choice(_VALUES), **odd)
            continue
        event = live_transaction(prefix, number)
        if number % 16:
            event["note"] = "y" * 1_000_000
        if odd["headers"] == _HEADERS[3]:
            odd["headers"] = []
        yield HostileRecord(
            topic=topics.TRANSACTIONS,
            value=orjson.dumps(event),
            # A replayed event may be a day ahead of its record at most.
            is_valid=odd["headers"] != _HEADERS[2] or not odd["timestamp_ms"],
            transaction_id=event["transaction_id"],
            **odd,
        )


@dataclass
class HostileProducer:
    """Sends them, and keeps where each one lies.

    A record of more than a MiB is compressed if its codec is none: the broker refuses it otherwise.
    """

    bootstrap: str
    sent: dict[Place, HostileRecord] = field(default_factory=dict)
    _producers: dict[str, Producer] = field(default_factory=dict)

    def send(self, record: HostileRecord) -> None:
        """Queue a record."""
        large = (
            len(record.key or b"")
            + len(record.value or b"")
            + sum(len(name) + len(value or b"") for name, value in record.headers)
        )
        codec = "gzip" if record.codec in ("none", "snappy") and large > MIB // 2 else record.codec
        producer = self._producers.setdefault(codec, self._open(codec))

        def delivered(error: Any, message: Message) -> None:
            assert error is None, (error, record.topic, codec, large)
            place = (record.topic, message.partition(), message.offset())
            self.sent[place] = record  # type: ignore[index]

        producer.produce(
            record.topic,
            record.value,
            record.key,
            headers=record.headers,
            timestamp=record.timestamp_ms,
            on_delivery=delivered,
        )
        producer.poll(0)

    def flush(self) -> None:
        """Wait until the broker has all of them."""
        for producer in self._producers.values():
            assert producer.flush(_ANSWER_S) == 0

    def abort(self, topic: str, values: list[bytes]) -> None:
        """Send values in a transaction and abort it."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "transactional.id": unique_name("aborted"),
                "log_level": 0,
            }
        )
        producer.init_transactions(_ANSWER_S)
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, b"aborted")
        assert producer.flush(_ANSWER_S) == 0
        producer.abort_transaction(_ANSWER_S)

    def _open(self, codec: str) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "compression.type": codec,
                "message.max.bytes": 100 * MIB,
                # One record a request: together they could be too large for the broker.
                "batch.num.messages": 1,
                "log_level": 0,
            }
        )
