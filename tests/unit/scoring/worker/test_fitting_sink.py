"""What is sent when a topic refuses records because of their size; the producer is a fake."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from schemas.dead_letter import read_dead_letter
from schemas.shortened_dead_letter import HEADER_SHORTENED, DeadLetterParts, record_size
from schemas.topics import read_header
from scoring.core.errors import DeliveryError
from scoring.core.ports import OutgoingRecord
from scoring.worker.feature_log import Record
from scoring.worker.fitting_sink import FittingSink

DECISIONS = "decisions"
DEAD_LETTERS = "dead-letters"


def size(record: OutgoingRecord) -> int:
    headers = [(name, value if isinstance(value, bytes) else b"") for name, value in record.headers]
    return record_size(DeadLetterParts(record.key, headers, record.value))


class Broker:
    """Topics with limits; a request with too many bytes is refused with all its records."""

    def __init__(self, **limits: int) -> None:
        self.limits = {DECISIONS: 10_000, DEAD_LETTERS: 10_000} | limits
        self.written: list[OutgoingRecord] = []
        self.requests = 0

    async def deliver(self, records: Sequence[OutgoingRecord]) -> list[OutgoingRecord]:
        refused = []
        for topic, limit in self.limits.items():
            of_topic = [record for record in records if record.topic == topic]
            self.requests += bool(of_topic)
            fits = sum(map(size, of_topic)) <= limit
            (self.written if fits else refused).extend(of_topic)
        return refused


def decision(number: int, value_bytes: int = 100) -> OutgoingRecord:
    return OutgoingRecord(
        topic=DECISIONS,
        key=b"u-%d" % number,
        value=b"v" * value_bytes,
        headers=[("ce_id", b"t-%d" % number)],
        timestamp_ms=0,
        source=Record("features", 1, number, 0, None, None, []),
    )


def sent(broker: Broker, *records: OutgoingRecord) -> int:
    """Send a batch; gives how many records became dead letters."""
    count = 0

    def note() -> None:
        nonlocal count
        count += 1

    sink = FittingSink(
        broker,
        dead_letters=DEAD_LETTERS,
        bytes_max=lambda topic: broker.limits[topic],
        on_too_large=note,
    )
    asyncio.run(sink.send(records))
    return count


def test_records_that_fit_are_sent_at_once() -> None:
    broker = Broker()
    records = [decision(number) for number in range(10)]
    assert sent(broker, *records) == 0
    assert broker.written == records
    assert broker.requests == 1


def test_nothing_is_sent_for_an_empty_batch() -> None:
    broker = Broker()
    assert sent(broker) == 0
    assert broker.requests == 0


def test_a_batch_that_is_too_large_is_sent_in_parts_in_its_order() -> None:
    broker = Broker()
    records = [decision(number, value_bytes=1_000) for number in range(100)]
    assert sent(broker, *records) == 0
    assert broker.written == records
    assert broker.requests < 50


def test_a_record_that_is_too_large_alone_becomes_a_dead_letter_and_the_others_are_sent() -> None:
    broker = Broker(**{DECISIONS: 3_000})
    large = decision(7, value_bytes=5_000)
    assert sent(broker, decision(1), large, decision(2)) == 1
    assert [record.key for record in broker.written if record.topic == DECISIONS] == [
        b"u-1",
        b"u-2",
    ]
    (letter,) = (record for record in broker.written if record.topic == DEAD_LETTERS)
    assert (letter.key, letter.value) == (large.key, large.value)
    why = read_dead_letter(letter.headers)  # type: ignore[arg-type]
    assert (why.topic, why.partition, why.offset) == ("features", 1, 7)
    assert "max.message.bytes=3000" in why.exception_message


def test_a_dead_letter_that_is_too_large_is_shortened() -> None:
    broker = Broker(**{DECISIONS: 3_000, DEAD_LETTERS: 4_000})
    assert sent(broker, decision(7, value_bytes=5_000)) == 1
    (letter,) = broker.written
    assert letter.value is None
    assert read_header(letter.headers, HEADER_SHORTENED) == b"value"  # type: ignore[arg-type]
    assert read_header(letter.headers, "weir-value-length") == b"5000"  # type: ignore[arg-type]


def test_a_topic_that_takes_no_dead_letter_at_all_is_an_error() -> None:
    broker = Broker(**{DECISIONS: 100, DEAD_LETTERS: 100})
    with pytest.raises(DeliveryError, match="raise it"):
        sent(broker, decision(1))
