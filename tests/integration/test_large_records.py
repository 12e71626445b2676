"""Records that are larger than the scorer's producer or a topic accepts, on a real broker.

A producer can send a record of any size: Kafka's limit applies to the compressed bytes.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from confluent_kafka import Producer

from clients.log_record import Record
from infra.local.topics import create_topics
from operations.parity.sources.logs import RefusedRecords
from schemas.dead_letter import dead_letter_headers, read_dead_letter
from schemas.output_codec import decode_decision, encode_feature_row
from schemas.shortened_dead_letter import HEADER_SHORTENED
from schemas.topics import DEAD_LETTERS, TRANSACTIONS, read_header
from tests.scorer_bench import ANSWER_MS_MAX, Bench, scorer_bench, wait_for
from tests.scoring_fakes import feature_row
from tests.services import Services
from tests.topic_settings import set_topic

MIB = 1024 * 1024


@pytest.fixture
def bench(kafka: Services, redis_server: Services, tmp_path: Path) -> Bench:
    return scorer_bench(kafka, redis_server, tmp_path)


def limit(bootstrap: str, topic: str, bytes_max: int) -> None:
    set_topic(bootstrap, topic, {"max.message.bytes": str(bytes_max)})


def dead_letters(bench: Bench, letters: object, count: int) -> list[Record]:
    """Wait for so many dead letters; gives them in the order of the records they are about."""
    found: list[Record] = letters.until(  # type: ignore[attr-defined]
        lambda seen: len(seen) >= count, within_ms=ANSWER_MS_MAX
    )
    assert len(found) == count
    return sorted(found, key=lambda letter: read_dead_letter(letter.headers).offset)


def shortened_part(letter: Record) -> str:
    return (read_header(letter.headers, HEADER_SHORTENED) or b"").decode()


def test_the_scorer_refuses_records_of_any_size_and_goes_on(bench: Bench) -> None:
    bootstrap, features = bench.settings.kafka_bootstrap, bench.channels.features
    # The limits apply to what is sent: compressed, most of these records would fit.
    bench.settings = bench.settings.model_copy(update={"topic_compression": "none"})
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.type": "gzip",
            "message.max.bytes": 100 * MIB,
            "queue.buffering.max.kbytes": 500_000,
        }
    )
    row = encode_feature_row(feature_row("row"))
    # Random bytes, so as large on the wire; with the headers they just fit the dead letters.
    random = os.urandom(MIB - 2_000)
    hostile = [
        {"value": b'{"oops": "' + b"x" * 3 * MIB + b'"}', "key": b"value"},
        {"value": b"\xff" * 40 * MIB, "key": b"more"},
        {"value": random, "key": b"random"},
        {"value": b"oops", "key": b"k" * 3 * MIB},
        {"value": b"oops", "key": b"many", "headers": [(f"h{n}", b"") for n in range(150_000)]},
        {"value": b"oops", "key": b"long", "headers": [("trace", b"t" * 3 * MIB)]},
        {"value": None, "key": b"name", "headers": [("n" * 3 * MIB, None)]},
    ]
    ids = bench.ids(len(hostile) + 1)
    with bench.decisions() as decisions, bench.dead_letters() as letters, bench.worker():
        for id_, record in zip(ids, hostile, strict=False):
            producer.produce(features, encode_feature_row(feature_row(id_)), b"u", 0)
            producer.produce(features, partition=0, **record)
            assert producer.flush(60) == 0
        producer.produce(features, row.replace(b'"row"', b'"%b"' % ids[-1].encode()), b"u", 0)
        assert producer.flush(60) == 0
        found = wait_for(decisions, ids)
        refused = dead_letters(bench, letters, len(hostile))
    assert {len(decided) for decided in found.values()} == {1}
    # Of a record with more than 100,000 headers librdkafka gives none.
    assert [shortened_part(letter) for letter in refused] == [
        *("value", "value", "", "key", "", "headers", "headers")
    ]
    for at, letter in enumerate(refused):
        why = read_dead_letter(letter.headers)
        assert (why.topic, why.partition, why.offset) == (features, 0, 2 * at + 1)
    assert (refused[4].key, refused[4].value) == (b"many", b"oops")
    assert refused[0].key == b"value"
    value = hostile[0]["value"]
    assert isinstance(value, bytes)
    assert read_header(refused[0].headers, "weir-value-length") == b"%d" % len(value)
    digest = hashlib.sha256(value).hexdigest().encode()
    assert read_header(refused[0].headers, "weir-value-sha256") == digest
    assert read_header(refused[0].headers, "weir-value-head") == value[:1024]
    assert refused[2].value == random
    assert refused[3].value == b"oops"


def test_decisions_that_are_too_large_for_their_topic_become_dead_letters(bench: Bench) -> None:
    bootstrap = bench.settings.kafka_bootstrap
    ids = bench.ids(203)
    backlog, too_large, last = ids[:200], ids[200:202], ids[202:]
    with bench.decisions() as decisions, bench.dead_letters() as letters:
        # A request with all decisions of a batch is too large, a single one is not.
        limit(bootstrap, bench.channels.decisions, 20_000)
        bench.send_rows(backlog)
        with bench.worker():
            wait_for(decisions, backlog)
            limit(bootstrap, bench.channels.decisions, 500)
            bench.send_rows(too_large)
            refused = dead_letters(bench, letters, len(too_large))
            limit(bootstrap, bench.channels.decisions, MIB)
            bench.send_rows(last)
            found = wait_for(decisions, last)
    assert {id_: len(decided) for id_, decided in found.items()} == dict.fromkeys(backlog + last, 1)
    for letter in refused:
        decision = decode_decision(letter.value)
        assert decision.transaction_id in too_large
        why = read_dead_letter(letter.headers)
        assert why.topic == bench.channels.features
        place = decision.features_offset
        assert (why.partition, why.offset) == (place.partition, place.offset)
        assert "max.message.bytes=500" in why.exception_message


def test_parity_ignores_a_record_that_is_no_dead_letter(kafka: Services) -> None:
    create_topics(kafka.kafka_bootstrap, kafka.settings.topic_partitions)
    reason = dead_letter_headers(
        topic=TRANSACTIONS, partition=0, offset=7, stage="decode", error=ValueError("no")
    )
    producer = Producer({"bootstrap.servers": kafka.kafka_bootstrap})
    producer.produce(DEAD_LETTERS, b"somebody's")
    # More headers than librdkafka gives to a consumer.
    producer.produce(
        DEAD_LETTERS, b"v", headers=[*[(f"h{n}", b"") for n in range(101_000)], *reason]
    )
    producer.produce(DEAD_LETTERS, b"v", headers=[*reason])
    assert producer.flush(60) == 0
    refused = RefusedRecords(kafka.kafka_bootstrap)
    refused.read_on()
    assert (0, 7) in refused.of_topic(TRANSACTIONS)
