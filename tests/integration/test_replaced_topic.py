"""The feature log is deleted and created again while the scorer runs: it ends, and says why."""

from __future__ import annotations

import time
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from infra.local.topics import wait_until_served
from scoring.worker.process import EXIT_BUG
from tests.scorer_bench import PARTITIONS, scorer_bench, wait_for
from tests.services import Services

GONE_S_MAX = 60.0


def create_again(bootstrap: str, topic: str) -> None:
    """Delete a topic and create it again: the name stays, the id does not."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.delete_topics([topic])[topic].result()
    deadline_s = time.monotonic() + GONE_S_MAX
    while topic in admin.list_topics(timeout=10).topics:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    # The rows of the tests have timestamps of long ago.
    kept = NewTopic(topic, PARTITIONS, 1, config={"retention.ms": "-1"})
    admin.create_topics([kept])[topic].result()
    wait_until_served(bootstrap, [topic])


def test_a_scorer_ends_when_its_feature_log_was_created_again_and_the_next_reads_all_of_it(
    kafka: Services, redis_server: Services, tmp_path: Path
) -> None:
    bench = scorer_bench(kafka, redis_server, tmp_path)
    before, after = bench.ids(60), bench.ids(20, start=60)
    with bench.decisions() as decisions:
        with bench.worker() as worker:
            bench.send_rows(before)
            wait_for(decisions, before)
            worker.wait_for_log("the watchdog follows topic id ")
            create_again(kafka.kafka_bootstrap, bench.channels.features)
            # Fewer than before: a scorer that goes on where it was would skip them.
            bench.send_rows(after)
            assert worker.wait() == EXIT_BUG
        assert f"{bench.channels.features} was deleted and created again" in worker.tail()
        with bench.worker():
            found = wait_for(decisions, after)
    assert found.keys() == {*before, *after}


def test_a_log_that_lacks_the_committed_offset_is_decided_from_its_first_record(
    kafka: Services, redis_server: Services, tmp_path: Path
) -> None:
    # The commit of a scorer that had not noticed yet that the log was created again.
    bench = scorer_bench(kafka, redis_server, tmp_path)
    places = [
        TopicPartition(bench.channels.features, partition, 1_000) for partition in range(PARTITIONS)
    ]
    group = Consumer({"bootstrap.servers": kafka.kafka_bootstrap, "group.id": bench.channels.group})
    group.commit(offsets=places, asynchronous=False)
    group.close()
    ids = bench.ids(20)
    bench.send_rows(ids)
    with bench.decisions() as decisions, bench.worker() as worker:
        found = wait_for(decisions, ids)
        assert worker.terminate() == 0, worker.tail()
        assert "does not have offset 1000" in worker.tail()
    assert all(len(each) == 1 for each in found.values())
    progress = bench.progress()
    assert progress is not None
    assert (progress.lag, progress.committed) == (0, 20)
