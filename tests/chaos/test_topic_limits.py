"""An operator changes settings of topics while the system runs: the stream goes on.

What no longer fits becomes a dead letter. The job learns a new limit by failing once. The
transactions that lose their rows stay in the states of their users, and parity counts them, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from kafka import KafkaProducer

from clients.log_record import Record
from operations.parity.feature_log import FeatureLogComparison
from schemas import topics
from schemas.dead_letter import read_dead_letter
from schemas.shortened_dead_letter import HEADER_SHORTENED
from tests.services import Services, unique_name
from tests.topic_settings import set_topic
from tests.topic_tail import Tail, by_transaction, tail
from tests.traffic import live_transaction, now_ms

ANSWER_MS_MAX = 120_000
ROW_BYTES_MAX = 300
"""Less than any row has; the limit applies to what the job sends, which is compressed."""
LIMIT_AGE_S = 1.5
"""The job asks for a topic's limit again when a row does not fit, but only once a second."""


@contextmanager
def limited(bootstrap: str, topic: str, bytes_max: int) -> Iterator[None]:
    """A topic that accepts less for the time of a block."""
    spec = next(spec for spec in topics.TOPICS if spec.name == topic)
    set_topic(bootstrap, topic, {"max.message.bytes": str(bytes_max)})
    try:
        yield
    finally:
        before = spec.config.get("max.message.bytes", "1048588")
        set_topic(bootstrap, topic, {"max.message.bytes": before})


def send(bootstrap: str, prefix: str, count: int, *, first: int = 0) -> set[str]:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    events = [live_transaction(prefix, number) for number in range(first, first + count)]
    for event in events:
        key = event["user_id"].encode()
        producer.send(topics.TRANSACTIONS, key=key, value=orjson.dumps(event))
    producer.flush()
    producer.close()
    return {event["transaction_id"] for event in events}


def origin(letter: Record) -> tuple[str, int, int]:
    why = read_dead_letter(letter.headers)
    return why.topic, why.partition, why.offset


def letters_of(letters: Tail, ids: set[str]) -> dict[str, Record]:
    """The dead letters that hold a feature row of these transactions.

    Others may come again: the job reads some records twice when it has failed.
    """
    found = {}
    for letter in letters.records:
        if (letter.value or b"").startswith(b'{"transaction":'):
            transaction_id = orjson.loads(letter.value or b"")["transaction"]["transaction_id"]
            found[transaction_id] = letter
    return {transaction_id: found[transaction_id] for transaction_id in ids & found.keys()}


def test_a_row_that_no_longer_fits_its_topic_is_a_dead_letter_and_the_stream_goes_on(
    weir_stack: Services,
) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    with (
        tail(bootstrap, topics.DECISIONS) as decisions,
        tail(bootstrap, topics.DEAD_LETTERS) as letters,
    ):
        with limited(bootstrap, topics.FEATURES, ROW_BYTES_MAX):
            prefix = unique_name("refused")
            refused = send(bootstrap, prefix, 3)
            letters.until(
                lambda _: letters_of(letters, refused).keys() == refused, within_ms=ANSWER_MS_MAX
            )
        time.sleep(LIMIT_AGE_S)
        good = send(bootstrap, prefix, 300, first=3)
        decisions.until(
            lambda _: by_transaction(decisions, good).keys() == good, within_ms=ANSWER_MS_MAX
        )
        assert not by_transaction(decisions, refused)
        assert not letters_of(letters, good)
    for letter in letters_of(letters, refused).values():
        why = read_dead_letter(letter.headers)
        origin = orjson.loads(letter.value or b"{}")["origin"]
        assert (why.topic, why.stage) == (topics.TRANSACTIONS, "produce")
        assert (why.partition, why.offset) == (origin["partition"], origin["offset"])
        assert "does not fit topic features" in why.exception_message
    report = FeatureLogComparison(
        weir_stack.settings,
        is_compared=lambda row: row.transaction.transaction_id.startswith(prefix),
    ).run()
    assert report.rows >= len(good)
    assert (report.mismatched, report.gaps) == (0, 0), report


def test_a_dead_letter_is_shortened_to_what_its_topic_accepts_now(weir_stack: Services) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    key = unique_name("junk").encode()
    # Random bytes, which compression does not make smaller.
    value = os.urandom(20_000)
    with (
        tail(bootstrap, topics.DEAD_LETTERS) as letters,
        limited(bootstrap, topics.DEAD_LETTERS, 3_000),
    ):
        producer = KafkaProducer(bootstrap_servers=bootstrap)
        producer.send(topics.TRANSACTIONS, key=key, value=value).get(30)
        producer.close()
        letters.until(lambda seen: key in {each.key for each in seen}, within_ms=ANSWER_MS_MAX)
        letter = next(each for each in letters.records if each.key == key)
    assert letter.value is None
    assert topics.read_header(letter.headers, HEADER_SHORTENED) == b"value"
    assert topics.read_header(letter.headers, "weir-value-length") == b"%d" % len(value)


def test_dead_letters_go_on_if_their_topic_asks_for_keys_and_young_timestamps(
    weir_stack: Services,
) -> None:
    bootstrap = weir_stack.kafka_bootstrap
    changed = {"cleanup.policy": "compact", "message.timestamp.before.max.ms": "60000"}
    before = {"cleanup.policy": "delete", "message.timestamp.before.max.ms": str(2**63 - 1)}
    set_topic(bootstrap, topics.DEAD_LETTERS, changed)
    value = unique_name("junk").encode()
    try:
        with tail(bootstrap, topics.DEAD_LETTERS) as letters:
            producer = KafkaProducer(bootstrap_servers=bootstrap)
            for timestamp_ms in (1, now_ms()):
                producer.send(topics.TRANSACTIONS, value=value, timestamp_ms=timestamp_ms).get(30)
            producer.close()
            letters.until(
                lambda seen: len({origin(each) for each in seen if each.value == value}) == 2,
                within_ms=ANSWER_MS_MAX,
            )
    finally:
        set_topic(bootstrap, topics.DEAD_LETTERS, before)
    # Compaction deletes neither: each without a key has one of its own, its place in the log.
    for letter in letters.records:
        if letter.value == value:
            assert letter.key == "/".join(map(str, origin(letter))).encode()
