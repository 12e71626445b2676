"""Nothing that a producer sends stops the stream or disturbs other users: the whole system.

Hostile records of every kind go between ordinary traffic. Every ordinary transaction is decided
with the right counts, every hostile record is decided or refused, and the job is never restarted.
`test_parity.py`, which runs on the same system, compares all features with a recomputation.
"""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from clients.log_record import Record
from schemas import topics
from schemas.dead_letter import HEADERS, read_dead_letter
from schemas.shortened_dead_letter import (
    HEAD_BYTES_MAX,
    HEADER_SHORTENED,
    HEADERS_MAX,
    PARTS,
    DeadLetterParts,
    encoded_headers,
    shortened,
)
from tests.hostile_records import MIB, HostileProducer, HostileRecord, Place, draw
from tests.odd_headers import send_odd_header
from tests.services import Services, unique_name
from tests.topic_settings import set_topic
from tests.topic_tail import Tail, by_transaction, tail
from tests.traffic import Traffic, live_transaction

HOSTILE = 500
RATE = 200.0
ANSWER_MS_MAX = 120_000
CODECS_AND_NONE = ("uncompressed", "gzip", "snappy", "lz4", "zstd")


def failures(services: Services) -> int:
    """How many failures of the velocity job Flink remembers; each one was a restart."""
    rest = services.flink_rest_url
    with urllib.request.urlopen(f"{rest}/jobs/overview") as reply:
        jobs = json.load(reply)["jobs"]
    (job,) = (job for job in jobs if job["name"] == "weir-velocity" and job["state"] == "RUNNING")
    with urllib.request.urlopen(f"{rest}/jobs/{job['jid']}/exceptions") as reply:
        return len(json.load(reply)["exceptionHistory"]["entries"])


def decided(decisions: Tail, ids: set[str]) -> dict[str, dict[str, Any]]:
    """Wait for the decisions of some transactions; each must have exactly one."""
    missing, seen = set(ids), 0

    def is_complete(records: list[Record]) -> bool:
        nonlocal seen
        missing.difference_update(
            orjson.loads(record.value or b"")["transaction_id"] for record in records[seen:]
        )
        seen = len(records)
        return not missing

    try:
        decisions.until(is_complete, within_ms=ANSWER_MS_MAX)
    except AssertionError as error:
        raise AssertionError(f"{len(missing)} undecided: {sorted(missing)[:9]}") from error
    found = by_transaction(decisions, ids)
    assert {len(records) for records in found.values()} == {1}
    return {transaction_id: records[0][1] for transaction_id, records in found.items()}


def assert_counts_are_right(sent: dict[str, dict[str, Any]], found: dict[str, Any]) -> None:
    """The n-th transaction of a user within five minutes has the count n: no other's is in it."""
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for transaction_id, event in sent.items():
        user = event["user_id"]
        counts[user] += 1
        sums[user] += event["amount_minor"]
        features = found[transaction_id]["features"]
        assert features["user_transaction_count_5m"] == counts[user]
        assert features["user_amount_sum_5m"] == sums[user]


def origin(letter: Record) -> Place:
    why = read_dead_letter(letter.headers)
    return why.topic, why.partition, why.offset


def assert_is_what_was_sent(letter: Record, sent: HostileRecord) -> None:
    """The record as it was sent and the reason, or what Python would make of it if it is large."""
    original = [
        (name, value.encode() if isinstance(value, str) else value) for name, value in sent.headers
    ]
    parts = {"key": sent.key, "headers": encoded_headers(original), "value": sent.value}
    large = [part for part in PARTS if len(parts[part] or b"") > topics.INPUT_BYTES_MAX]
    reason = letter.headers[-len(HEADERS) :]
    if large or len(original) > HEADERS_MAX:
        assert_describes(letter, parts, at_least=large)
        return
    whole = DeadLetterParts(sent.key, [*original, *reason], sent.value)
    expected = shortened(whole, bytes_max=2 * MIB - 2 * MIB // 64)
    assert (letter.key, letter.value) == (expected.key, expected.value)
    assert list(letter.headers) == list(expected.headers)


def assert_describes(
    letter: Record, parts: Mapping[str, bytes | None], *, at_least: list[str]
) -> None:
    """Each part is there as it was sent, or its description is."""
    headers = dict(letter.headers)
    left_out = (headers[HEADER_SHORTENED] or b"").decode().split(",")
    assert set(left_out) >= set(at_least)
    for part, content in parts.items():
        if part in left_out:
            assert content is not None
            assert headers[f"weir-{part}-length"] == b"%d" % len(content)
            assert headers[f"weir-{part}-head"] == content[:HEAD_BYTES_MAX]
            digest = hashlib.sha256(content).hexdigest().encode()
            assert headers[f"weir-{part}-sha256"] == digest
        elif part != "headers":
            assert getattr(letter, part) == content


@pytest.mark.timeout(600)
def test_hostile_records_between_ordinary_traffic_stop_and_disturb_nothing(
    weir_stack: Services,
) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    prefix = unique_name("hostile")
    aborted = [live_transaction(prefix, number) for number in range(10_000, 10_020)]
    producer = HostileProducer(bootstrap)
    failures_before = failures(weir_stack)
    with (
        tail(bootstrap, topics.DECISIONS) as decisions,
        tail(bootstrap, topics.DEAD_LETTERS) as letters,
    ):
        with Traffic(bootstrap, rate=RATE, users=40) as traffic:
            print(f"seed {traffic.seed}")
            for number, record in enumerate(draw(HOSTILE, seed=traffic.seed, prefix=prefix)):
                producer.send(record)
                if number % 100 == 50:
                    producer.abort(topics.TRANSACTIONS, [orjson.dumps(event) for event in aborted])
            producer.flush()
        valid = {each.transaction_id for each in producer.sent.values() if each.is_valid}
        found = decided(decisions, set(traffic.sent) | valid)
        refused = {place for place, record in producer.sent.items() if not record.is_valid}
        letters.until(
            lambda seen: {origin(letter) for letter in seen} >= refused, within_ms=ANSWER_MS_MAX
        )
        assert not by_transaction(decisions, {event["transaction_id"] for event in aborted})
    assert len(producer.sent) == HOSTILE
    assert_counts_are_right(traffic.sent, found)
    by_origin = {origin(letter): letter for letter in letters.records}
    assert len(letters.records) == len(by_origin) == len(refused)
    for place in refused:
        assert_is_what_was_sent(by_origin[place], producer.sent[place])
    assert failures(weir_stack) == failures_before


def test_a_record_of_a_hundred_mebibytes_is_refused(
    weir_stack: Services,
) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    producer = HostileProducer(bootstrap)
    value = b"x" * 95 * MIB
    event = live_transaction(unique_name("large"), 0)
    failures_before = failures(weir_stack)
    with (
        tail(bootstrap, topics.DECISIONS) as decisions,
        tail(bootstrap, topics.DEAD_LETTERS) as letters,
    ):
        for topic in (topics.TRANSACTIONS, topics.LABELS):
            producer.send(HostileRecord("zstd", topic, event["user_id"].encode(), value, [], 0))
        producer.flush()
        valid = HostileRecord("zstd", topics.TRANSACTIONS, event["user_id"].encode(),
                              orjson.dumps(event), [], 0, is_valid=True)  # fmt: skip
        producer.send(valid)
        producer.flush()
        decided(decisions, {event["transaction_id"]})
        letters.until(lambda seen: len(seen) == 2, within_ms=ANSWER_MS_MAX)
    for letter in letters.records:
        assert origin(letter) in producer.sent
        headers = dict(letter.headers)
        assert headers["weir-shortened"] == b"value"
        assert headers["weir-value-length"] == b"%d" % len(value)
        why = read_dead_letter(letter.headers)
        assert why.exception_message == f"the value has {len(value)} bytes, limit 1048576"
    assert failures(weir_stack) == failures_before


def test_a_topic_may_be_set_to_any_codec_while_the_system_runs(weir_stack: Services) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    producer = HostileProducer(bootstrap)
    failures_before = failures(weir_stack)
    try:
        with tail(bootstrap, topics.DECISIONS) as decisions:
            for codec in CODECS_AND_NONE:
                for spec in topics.TOPICS:
                    set_topic(bootstrap, spec.name, {"compression.type": codec})
                event = live_transaction(unique_name(codec), 0)
                key, value = event["user_id"].encode(), orjson.dumps(event)
                record = HostileRecord(
                    "none", topics.TRANSACTIONS, key, value, [], 0, is_valid=True
                )
                producer.send(record)
                producer.flush()
                decided(decisions, {event["transaction_id"]})
    finally:
        for spec in topics.TOPICS:
            set_topic(bootstrap, spec.name, {"compression.type": "producer"})
    assert failures(weir_stack) == failures_before


def test_a_record_with_a_header_whose_name_is_not_utf_8_is_processed(weir_stack: Services) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    event = live_transaction(unique_name("odd"), 0)
    failures_before = failures(weir_stack)
    with (
        tail(bootstrap, topics.DECISIONS) as decisions,
        tail(bootstrap, topics.DEAD_LETTERS) as letters,
    ):
        refused = {
            (topic, *send_odd_header(bootstrap, topic, b"oops", key=b"k"))
            for topic in (topics.TRANSACTIONS, topics.LABELS)
        }
        value, key = orjson.dumps(event), event["user_id"].encode()
        send_odd_header(bootstrap, topics.TRANSACTIONS, value, key=key)
        decided(decisions, {event["transaction_id"]})
        letters.until(
            lambda seen: {origin(letter) for letter in seen} == refused, within_ms=ANSWER_MS_MAX
        )
    assert failures(weir_stack) == failures_before
