"""Kafka transactions on a real broker: every reader reads committed records only.

A transaction leaves offsets without a record: its end marker, and the records that were aborted.
They are no records, no lag, and not "behind the log".
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from clients.kafka_log import end_offsets, read_log
from clients.log_cursor import LogCursor
from clients.topic_tail import TopicTail
from infra.local.topics import create_topics
from operations.archive_upkeep import table_status
from schemas.codec import encode_transaction
from schemas.output_codec import encode_feature_row
from schemas.topics import TRANSACTIONS
from scoring.worker.watchdog import GroupProgress
from tests.builders import transaction
from tests.scorer_bench import Bench, by_transaction, scorer_bench, wait_for
from tests.scoring_fakes import feature_row
from tests.services import Services, unique_name
from tests.transactional import TransactionalProducer
from training.archive.archiver import archive_to_end
from training.archive.compare import compare_with_log
from training.archive.store import ArchiveTable

NO_RECORD_S = 1.0


def send_plain(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for value in values:
        producer.produce(topic, value, b"k", 0)
    assert producer.flush(30) == 0


def transactions(count: int) -> list[bytes]:
    prefix = unique_name("tx")
    return [
        encode_transaction(transaction(transaction_id=f"{prefix}-{at}", user_id=f"{prefix}-u"))
        for at in range(count)
    ]


def test_a_log_and_a_tail_give_committed_records_only(kafka: Services) -> None:
    bootstrap, topic = kafka.kafka_bootstrap, kafka.new_topic(partitions=1)
    producer = TransactionalProducer(bootstrap, topic)
    with TopicTail(bootstrap, topic) as tail:
        send_plain(bootstrap, topic, b"plain")
        producer.abort([b"aborted"] * 3)
        producer.commit([b"committed"])
        producer.abort([b"aborted"] * 3)
        seen = tail.consume(2, 10.0) + tail.consume(1, NO_RECORD_S)
    assert [message.value() for message in seen] == [b"plain", b"committed"]
    assert [record.value for record in read_log(bootstrap, topic)] == [b"plain", b"committed"]
    # One offset each for 8 records and 3 markers.
    assert end_offsets(bootstrap, topic) == {0: 11}
    # From an offset after the last record.
    assert list(read_log(bootstrap, topic, start={0: 6})) == []


def test_a_cursor_at_the_end_is_behind_the_markers(kafka: Services) -> None:
    bootstrap, topic = kafka.kafka_bootstrap, kafka.new_topic(partitions=1)
    producer = TransactionalProducer(bootstrap, topic)
    producer.commit([b"committed"])
    producer.abort([b"aborted"] * 3)
    seen: list[bytes | None] = []
    with LogCursor(bootstrap, topic, {}) as cursor:
        until_s = time.monotonic() + 30.0
        while not cursor.is_at_end() and time.monotonic() < until_s:
            seen += [record.value for record in cursor.take(100, 0.1)]
        assert seen == [b"committed"]
        assert cursor.positions == end_offsets(bootstrap, topic)


def test_an_open_transaction_holds_up_what_comes_after_it(kafka: Services) -> None:
    bootstrap, topic = kafka.kafka_bootstrap, kafka.new_topic(partitions=1)
    producer = TransactionalProducer(bootstrap, topic)
    send_plain(bootstrap, topic, b"before")
    with TopicTail(bootstrap, topic, start={topic: {0: 0}}) as tail:
        with producer.open([b"inside"]):
            send_plain(bootstrap, topic, b"after")
            assert [record.value for record in read_log(bootstrap, topic)] == [b"before"]
            held = tail.consume(2, NO_RECORD_S)
            assert [message.value() for message in held] == [b"before"]
        rest = tail.consume(2, 10.0)
    assert [message.value() for message in rest] == [b"inside", b"after"]
    values = [record.value for record in read_log(bootstrap, topic)]
    assert values == [b"before", b"inside", b"after"]


def test_the_archive_holds_committed_records_and_is_not_behind_after_a_marker(
    kafka: Services, tmp_path: Path
) -> None:
    create_topics(kafka.kafka_bootstrap, kafka.settings.topic_partitions)
    changes = {"archive_url": str(tmp_path / "archive")}
    settings = kafka.settings.model_copy(update=changes)
    archive_to_end(settings)
    before = ArchiveTable(settings.archive_url, TRANSACTIONS).delta.count()
    producer = TransactionalProducer(kafka.kafka_bootstrap, TRANSACTIONS)
    producer.commit(transactions(3))
    producer.abort(transactions(5))
    send_plain(kafka.kafka_bootstrap, TRANSACTIONS, *transactions(1))
    producer.commit(transactions(2))
    producer.abort(transactions(1))

    def status() -> tuple[int, int]:
        found = {table.name: table for table in table_status(settings)}[TRANSACTIONS]
        return found.rows - before, found.behind

    assert status() == (0, 6)
    archive_to_end(settings)
    assert status() == (6, 0)
    compared = compare_with_log(settings, TRANSACTIONS)
    assert compared.is_equal
    assert compared.rows == before + 6


@pytest.fixture
def bench(kafka: Services, redis_server: Services, tmp_path: Path) -> Bench:
    return scorer_bench(kafka, redis_server, tmp_path)


def test_the_scorer_decides_committed_rows_only_and_a_marker_is_no_lag(bench: Bench) -> None:
    bootstrap, features = bench.settings.kafka_bootstrap, bench.channels.features
    producer = TransactionalProducer(bootstrap, features)
    aborted, committed = bench.ids(20, start=100), bench.ids(10)
    rows = {id_: encode_feature_row(feature_row(id_)) for id_ in aborted + committed}
    with bench.decisions() as decisions:
        with bench.worker() as worker:
            producer.abort(rows[id_] for id_ in aborted[:10])
            producer.commit(rows[id_] for id_ in committed[:5])
            wait_for(decisions, committed[:5])
            producer.abort(rows[id_] for id_ in aborted[10:])
            assert worker.terminate() == 0, worker.tail()
        # Starts at offsets that have no record.
        with bench.worker() as worker:
            send_plain(bootstrap, features, *(rows[id_] for id_ in committed[5:]))
            wait_for(decisions, committed)
            producer.abort([rows[aborted[0]]])
            assert worker.terminate() == 0, worker.tail()
        found = by_transaction(decisions)
    assert {id_: len(decided) for id_, decided in found.items()} == dict.fromkeys(committed, 1)
    watched = GroupProgress(bootstrap=bootstrap, group=bench.channels.group, topic=features)
    offsets = sum(end_offsets(bootstrap, features).values())
    at_first, later = watched.progress(), watched.progress()
    assert at_first is not None
    assert later is not None
    # 31 records and 4 markers; the last transaction's two offsets are never committed.
    assert (offsets, at_first.committed, at_first.lag, later.lag) == (35, 33, 2, 0)
    bench.send_rows(bench.ids(1, start=200))
    after = watched.progress()
    assert after is not None
    assert after.lag > 0
