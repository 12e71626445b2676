"""Headers whose names are not UTF-8: aiokafka stops at one, librdkafka raises an error for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer

from clients.kafka_log import read_log
from schemas.dead_letter import read_dead_letter
from schemas.output_codec import encode_feature_row
from tests.odd_headers import send_odd_header
from tests.scorer_bench import ANSWER_MS_MAX, Bench, scorer_bench, wait_for
from tests.scoring_fakes import feature_row
from tests.services import Services


def test_a_log_is_read_past_a_record_with_an_odd_header(kafka: Services) -> None:
    topic = kafka.new_topic()
    producer = Producer({"bootstrap.servers": kafka.kafka_bootstrap})
    for number in range(1_000):
        if number % 100 == 0:
            producer.flush()
            send_odd_header(kafka.kafka_bootstrap, topic, b"odd", key=b"odd")
        producer.produce(topic, b"value", b"key", headers=[("trace", b"%d" % number)])
    producer.flush()
    for record in read_log(kafka.kafka_bootstrap, topic):
        assert record.key in (b"key", b"odd")
        assert len(record.headers) == (record.key == b"key")


@pytest.fixture
def bench(kafka: Services, redis_server: Services, tmp_path: Path) -> Bench:
    return scorer_bench(kafka, redis_server, tmp_path)


def test_the_scorer_goes_on_after_records_with_odd_headers(bench: Bench) -> None:
    bootstrap, features = bench.settings.kafka_bootstrap, bench.channels.features
    ids = bench.ids(30)
    row = encode_feature_row(feature_row(ids[20]))
    # The first record of one partition, and one in the middle of a fetch of the other.
    place = send_odd_header(bootstrap, features, b"no row", key=b"first", partition=1)
    bench.send_rows(ids[:20])
    send_odd_header(bootstrap, features, row, key=b"row", partition=0)
    bench.send_rows(ids[21:])
    with bench.decisions() as decisions, bench.dead_letters() as letters:
        with bench.worker() as worker:
            wait_for(decisions, ids)
            letters.until(lambda seen: len(seen) >= 1, within_ms=ANSWER_MS_MAX)
            assert worker.terminate() == 0, worker.tail()
        progress = bench.progress()
    assert progress is not None
    assert (progress.lag, progress.committed) == (0, 31)
    for letter in letters.records:
        why = read_dead_letter(letter.headers)
        assert (why.partition, why.offset) == place
