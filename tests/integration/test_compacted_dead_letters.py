"""An operator has set the topic of the dead letters to compact: the scorer goes on, with no loss.

Kafka refuses a record without a key there, and may refuse an old timestamp of any record.
"""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import Producer

from schemas.dead_letter import read_dead_letter
from tests.scorer_bench import ANSWER_MS_MAX, scorer_bench, wait_for
from tests.services import Services
from tests.topic_settings import set_topic


def test_records_without_a_key_or_with_an_old_timestamp_become_dead_letters_all_the_same(
    kafka: Services, redis_server: Services, tmp_path: Path
) -> None:
    bench = scorer_bench(kafka, redis_server, tmp_path)
    bootstrap, channels = bench.settings.kafka_bootstrap, bench.channels
    asked = {"cleanup.policy": "compact", "message.timestamp.before.max.ms": "60000"}
    set_topic(bootstrap, channels.dead_letters, asked)
    producer = Producer({"bootstrap.servers": bootstrap})
    ids = bench.ids(40)
    with bench.decisions() as decisions, bench.dead_letters() as letters, bench.worker():
        bench.send_rows(ids[:20])
        for key, timestamp_ms in ((None, 0), (None, 0), (b"u-0", 0), (None, 1), (b"u-0", 1)):
            producer.produce(channels.features, b"oops", key, 0, timestamp=timestamp_ms)
        assert producer.flush(30) == 0
        bench.send_rows(ids[20:])
        found = wait_for(decisions, ids)
        refused = letters.until(lambda seen: len(seen) >= 5, within_ms=ANSWER_MS_MAX)
    assert {len(decided) for decided in found.values()} == {1}
    places = {}
    for letter in refused:
        why = read_dead_letter(letter.headers)
        assert why.topic == channels.features
        places[why.offset] = letter
    assert [letter.value for letter in places.values()] == [b"oops"] * 5
    # Each without a key has one of its own, which compaction keeps.
    keys = [places[offset].key for offset in sorted(places)]
    own = [f"{channels.features}/0/{offset}".encode() for offset in sorted(places)]
    assert keys == [own[0], own[1], b"u-0", own[3], b"u-0"]
    assert "DeliveryError" not in bench.log.read_text()
