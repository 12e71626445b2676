"""The archiver on a real broker: whatever happens to it, the archive is what the logs say."""

from __future__ import annotations

import random
import time
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from confluent_kafka import Producer
from deltalake import DeltaTable

from clients.errors import KafkaUnreachableError
from infra.local.topics import create_topics
from schemas.settings import Settings
from schemas.topics import FEATURES
from tests.archiving import (
    archiver_process,
    compared,
    in_order,
    producer_of,
    rows,
    send_some,
    traffic,
)
from tests.services import Services
from training.archive.archiver import Archiver, archive_to_end
from training.archive.feature_rows import archived_feature_rows
from training.archive.labels import archived_labels
from training.archive.rebuild import rebuild_archive
from training.archive.store import ArchiveTable
from training.archive.tables import TABLES
from training.datasets.read_log import read_feature_rows, read_labels
from training.errors import ArchiveConflictError, OtherLogError

KILLS = 10


@pytest.fixture
def settings(kafka: Services, tmp_path: Path) -> Settings:
    """The broker's settings with an archive of the test's own."""
    create_topics(kafka.kafka_bootstrap, kafka.settings.topic_partitions)
    changes = {"archive_url": str(tmp_path / "archive"), "archive_commit_ms": 60}
    return kafka.settings.model_copy(update=changes)


@pytest.fixture
def producer(kafka: Services) -> Producer:
    return producer_of(kafka.settings)


def commits(settings: Settings) -> int:
    """How many commits the tables have had; to count rows takes the CPU that the archiver needs."""
    return sum(1 for _ in Path(settings.archive_url).glob("*/_delta_log/*.json"))


@pytest.mark.timeout(600)
def test_killed_at_ten_random_moments_the_archive_is_the_log(
    settings: Settings, producer: Producer, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    log = tmp_path / "archiver.log"
    for name in TABLES:
        ArchiveTable(settings.archive_url, name).open_or_create()
    grew = 0
    with traffic(producer):
        for _ in range(KILLS):
            before = rows(settings)
            with archiver_process(settings, log) as process:
                # From its first commit on, so that the kill meets it at work, not at its start.
                deadline_s, seen = time.monotonic() + 120, commits(settings)
                while commits(settings) == seen or rows(settings) == before:
                    assert time.monotonic() < deadline_s, log.read_text()
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.02)
                time.sleep(rng.uniform(0, 0.7))
                process.kill()
            grew += rows(settings) != before
    assert grew == KILLS
    archive_to_end(settings)
    found = compared(settings)
    assert sum(one.rows for one in found) == sum(rows(settings).values()) > 1_000
    assert "ERROR" not in log.read_text()


def test_sigterm_commits_what_was_taken(
    settings: Settings, producer: Producer, tmp_path: Path
) -> None:
    send_some(producer, 200)
    slow = settings.model_copy(update={"archive_commit_ms": 3_600_000})
    # What was taken cannot be seen before the commit, so a busy machine gets more time.
    for took_s in (1, 2, 4, 8):
        log = tmp_path / f"archiver-{took_s}.log"
        with archiver_process(slow, log) as process:
            deadline_s = time.monotonic() + 120
            while "following" not in log.read_text():
                assert time.monotonic() < deadline_s
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            time.sleep(took_s)
            process.terminate()
            assert process.wait(60) == 0, log.read_text()
        if all(rows(settings).values()):
            break
    assert all(rows(settings).values())
    archive_to_end(settings)
    compared(settings)


def test_a_rebuilt_archive_is_the_same_archive(settings: Settings, producer: Producer) -> None:
    send_some(producer, 300)
    archive_to_end(settings)
    before = {name: in_order(settings, name) for name in TABLES}
    files = {name: set(ArchiveTable(settings.archive_url, name).files()) for name in TABLES}
    many_cuts = settings.model_copy(update={"archive_rows_max": 1})
    assert set(rebuild_archive(many_cuts).values()) == {0}
    for name in TABLES:
        assert in_order(settings, name).equals(before[name])
        assert files[name].isdisjoint(ArchiveTable(settings.archive_url, name).files())
    compared(settings)


def test_of_two_archivers_one_goes_on_and_no_row_is_doubled(
    settings: Settings, producer: Producer
) -> None:
    one, other = Archiver(settings), Archiver(settings)
    send_some(producer, 100)
    for archiver in (one, other):
        for _ in range(10):
            archiver._consumer.consume(0, 0)
            records = archiver._consumer.consume(5_000, 0.5)
            for topic, found in archiver._by_topic(records).items():
                archiver._take(topic, found)
    one.commit()
    with pytest.raises(ArchiveConflictError):
        other.commit()
    one.close()
    other.close()
    archive_to_end(settings)
    compared(settings)


def test_training_reads_the_same_from_the_archive_as_from_the_log(
    settings: Settings, producer: Producer
) -> None:
    send_some(producer, 300)
    archive_to_end(settings)
    pd.testing.assert_frame_equal(
        archived_feature_rows(settings.archive_url), read_feature_rows(settings.kafka_bootstrap)
    )
    from schemas.transaction import Limits

    pd.testing.assert_frame_equal(
        archived_labels(settings.archive_url),
        read_labels(settings.kafka_bootstrap, limits=Limits.from_settings(settings)),
    )


def test_duckdb_and_pandas_read_the_tables(settings: Settings, producer: Producer) -> None:
    send_some(producer, 100)
    archive_to_end(settings)
    table = DeltaTable(f"{settings.archive_url}/{FEATURES}")
    wanted = len(table.to_pandas())
    database = duckdb.connect()
    database.register("rows", table.to_pyarrow_dataset())
    by_day = database.sql("SELECT event_date, count(*) FROM rows GROUP BY 1").fetchall()
    assert sum(count for _, count in by_day) == wanted > 100
    first = database.sql(
        "SELECT transaction_id FROM rows WHERE is_readable QUALIFY row_number() OVER "
        "(PARTITION BY transaction_id ORDER BY log_partition, log_offset) = 1"
    ).fetchall()
    assert len(first) == len(archived_feature_rows(settings.archive_url))


def test_an_archive_of_another_log_is_refused(settings: Settings) -> None:
    table = ArchiveTable(settings.archive_url, FEATURES)
    table.open_or_create()
    table.append([], next_offsets={0: 10**9})
    with pytest.raises(OtherLogError, match=r"goes to offset 1000000000.*copy .*to a safe place"):
        Archiver(settings)


def test_without_kafka_the_archiver_says_so(settings: Settings) -> None:
    away = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    with pytest.raises(KafkaUnreachableError, match=r"127\.0\.0\.1:1"):
        Archiver(away)
