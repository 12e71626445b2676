"""The archive and the log that it follows, on a broker of its own: growth, another log, a rebuild.

In this order, because the later tests take the log away.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import Result
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions
from typer.testing import CliRunner

from clients.kafka_log import end_offsets, read_log
from clients.topic_description import LogIdentity, describe_topics
from infra.cli.main import app
from infra.local.topics import create_topics
from infra.simulation.log_progress import KafkaLogProgress, TopicGrewError
from operations.archive_upkeep import table_status
from operations.fresh_archive import bring_up_to_date
from operations.parity import run
from operations.parity.recomputation.recomputed import Recomputed
from schemas.codec import encode_transaction
from schemas.settings import Settings, environment_of
from schemas.topics import FEATURES, LABELS, TRANSACTIONS
from tests import services
from tests.archiving import archiver_process, compared, in_order, producer_of, rows, send_some
from tests.builders import LIMITS, transaction
from tests.scorer_bench import scorer_bench, wait_for
from tests.services import Services
from training.archive.archiver import Archiver, archive_to_end
from training.archive.columns import to_batches
from training.archive.compare import compare_with_log
from training.archive.followed_log import check_followed
from training.archive.rebuild import rebuild_archive
from training.archive.store import ArchiveTable
from training.archive.tables import BACKFILLED, SCHEMAS, TABLES
from training.archive.version import archive_version
from training.errors import ArchiveConflictError, LostRowsError, NoArchiveError, OtherLogError

WITHIN_S = 60.0
KILLS = 4


@pytest.fixture(scope="module")
def broker(local_services: Services) -> Iterator[Services]:
    """A Kafka and a Redis that no other test uses; `local_services` marks the test."""
    with services.local_services(keep_logs=lambda: False) as own:
        assert own.stack is not None
        own.stack.up(programs=["kafka", "redis"])
        yield own


@pytest.fixture
def settings(broker: Services, tmp_path: Path) -> Settings:
    """The broker's settings with an archive of the test's own."""
    create_topics(broker.kafka_bootstrap, broker.settings.topic_partitions)
    changes = {"archive_url": str(tmp_path / "archive"), "archive_commit_ms": 200}
    return broker.settings.model_copy(update=changes)


@pytest.fixture
def producer(broker: Services) -> Producer:
    return producer_of(broker.settings)


def eventually(is_true: Callable[[], bool]) -> float:
    """Wait until it is true; gives how long that took, s."""
    began_s = time.monotonic()
    while not is_true():
        assert time.monotonic() - began_s < WITHIN_S
        time.sleep(0.05)
    return time.monotonic() - began_s


def transactions(prefix: str, count: int) -> list[bytes]:
    ids = (f"{prefix}-{at}" for at in range(count))
    return [encode_transaction(transaction(transaction_id=each)) for each in ids]


def grow(settings: Settings, *topics: str, to: int) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    for future in admin.create_partitions([NewPartitions(topic, to) for topic in topics]).values():
        future.result()


def send_to(settings: Settings, topic: str, partition: int, *values: bytes) -> None:
    """Send with a producer that has just asked which partitions there are."""
    eventually(lambda: partition in end_offsets(settings.kafka_bootstrap, topic))
    producer = producer_of(settings)
    for value in values:
        producer.produce(topic, value, b"u", partition)
    assert producer.flush(30) == 0


def create_again(settings: Settings) -> None:
    """Delete the archived topics and create them again: the names stay, the ids do not."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    for future in admin.delete_topics(list(TABLES)).values():
        future.result()
    eventually(lambda: not set(TABLES) & admin.list_topics(timeout=10).topics.keys())
    create_topics(settings.kafka_bootstrap, settings.topic_partitions)


def weir(settings: Settings, *arguments: str) -> Result:
    return CliRunner(env=environment_of(settings)).invoke(app, list(arguments))


def everything(settings: Settings) -> dict[str, pa.Table]:
    return {name: in_order(settings, name) for name in TABLES}


def is_unchanged(settings: Settings, before: dict[str, pa.Table]) -> bool:
    return all(in_order(settings, name).equals(before[name]) for name in TABLES)


def archive_without_ids(settings: Settings, url: Path, *, later_ms: int = 0) -> Settings:
    """An archive of before the ids were noted, its timestamps moved by ``later_ms``."""
    old = settings.model_copy(update={"archive_url": str(url)})
    for name in TABLES:
        table = ArchiveTable(str(url), name)
        table.open_or_create()
        records = list(read_log(settings.kafka_bootstrap, name, values_only=True))
        records = [each._replace(timestamp_ms=each.timestamp_ms + later_ms) for each in records]
        ends: dict[int, int] = {}
        for each in records:
            ends[each.partition] = each.offset + 1
        table.append(to_batches(name, records, limits=LIMITS), next_offsets=ends)
    return old


def test_a_topic_that_grows_is_archived_and_verified_in_all_its_partitions(
    settings: Settings, producer: Producer, tmp_path: Path
) -> None:
    new = settings.topic_partitions
    progress = KafkaLogProgress(settings.kafka_bootstrap, partitions=list(range(new)))
    send_some(producer, 100)
    archive_to_end(settings)
    log = tmp_path / "archiver.log"
    with archiver_process(settings, log):
        eventually(lambda: "following" in log.read_text())
        before = rows(settings)[TRANSACTIONS]
        grow(settings, TRANSACTIONS, to=new + 1)
        send_to(settings, TRANSACTIONS, new, *transactions("grown", 25))
        took_s = eventually(lambda: rows(settings)[TRANSACTIONS] == before + 25)
        print(f"archived {took_s:.1f} s after they were sent")
    found = {one.name: one for one in compared(settings)}[TRANSACTIONS]
    assert (found.missing, found.behind) == (0, 0)
    assert ArchiveTable(settings.archive_url, TRANSACTIONS).next_offsets()[new] == 25
    with pytest.raises(TopicGrewError, match=f"transactions got partition {new}"):
        eventually(lambda: not progress.answered())


def test_records_of_a_partition_that_nobody_archives_are_missing(
    settings: Settings, producer: Producer
) -> None:
    send_some(producer, 10)
    archive_to_end(settings)
    send_some(producer, 10)
    partitions = 1 + max(table_partitions(settings, FEATURES))
    grow(settings, FEATURES, to=partitions + 1)
    send_to(settings, FEATURES, partitions, b"junk", b"more junk")
    found = compare_with_log(settings, FEATURES)
    assert (found.missing, found.is_equal) == (2, False)
    assert found.behind >= 10
    result = weir(settings, "archive", "verify")
    assert (result.exit_code, "2 missing" in result.output) == (1, True), result.output
    archive_to_end(settings)
    compared(settings)
    assert partitions in archive_version(settings.archive_url).next_offsets[FEATURES]


def table_partitions(settings: Settings, name: str) -> dict[int, int]:
    return ArchiveTable(settings.archive_url, name).next_offsets()


def test_an_archiver_does_not_append_what_another_one_has_archived_already(
    settings: Settings, producer: Producer
) -> None:
    send_some(producer, 10)
    archive_to_end(settings)
    one, other = Archiver(settings), Archiver(settings)
    for partition in (0, 1):
        send_to(settings, TRANSACTIONS, partition, *transactions(f"both-{partition}", 5))
    taken = {partition: [] for partition in (0, 1)}
    for record in read_log(
        settings.kafka_bootstrap, TRANSACTIONS, start=table_partitions(settings, TRANSACTIONS)
    ):
        taken[record.partition].append(record)
    one._take(TRANSACTIONS, taken[0])
    one.commit()
    # This commit does not conflict, and brings the first one into the other's view.
    other._take(TRANSACTIONS, taken[1])
    other.commit()
    other._take(TRANSACTIONS, taken[0])
    with pytest.raises(ArchiveConflictError, match="another process has archived transactions"):
        other.commit()
    one.close()
    other.close()
    archive_to_end(settings)
    compared(settings)


def test_an_archive_of_before_takes_the_log_whose_rows_it_has_and_says_so(
    settings: Settings, producer: Producer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    send_some(producer, 50)
    old = archive_without_ids(settings, tmp_path / "old")
    before = everything(old)
    archive_to_end(old)
    assert "did not say which log it follows; its newest" in caplog.text
    assert is_unchanged(old, before)
    check_followed(old, *TABLES)
    assert ArchiveTable(old.archive_url, FEATURES).followed is not None
    another = archive_without_ids(settings, tmp_path / "another", later_ms=7)
    with pytest.raises(OtherLogError, match="hold different records at partition"):
        archive_to_end(another)
    assert ArchiveTable(another.archive_url, TRANSACTIONS).followed is None


def test_what_the_archiver_has_not_archived_yet_is_archived_before_its_labels_count(
    settings: Settings, producer: Producer, caplog: pytest.LogCaptureFixture
) -> None:
    send_some(producer, 60)
    with pytest.raises(NoArchiveError):
        bring_up_to_date(settings)
    archive_to_end(settings)
    before = rows(settings)
    send_some(producer, 60)
    bring_up_to_date(settings)
    assert rows(settings)[LABELS] > before[LABELS]
    compared(settings)
    bring_up_to_date(settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"}))
    assert "labels that have not been archived are unknown" in caplog.text


def test_a_rebuild_that_is_killed_leaves_the_old_archive_whole(
    settings: Settings, producer: Producer, tmp_path: Path
) -> None:
    send_some(producer, 100)
    archive_to_end(settings)
    before, files = everything(settings), ArchiveTable(settings.archive_url, FEATURES).files()
    made = Path(settings.archive_url)
    command = ("infra.cli.main", "archive", "rebuild")
    for kill in range(KILLS):
        # The first time as early as something can be lost, then also in the middle of the swap.
        log = tmp_path / f"rebuild-{kill}.log"
        with archiver_process(settings, log, command) as process:
            eventually(lambda: len(set(made.glob("features/rebuild-*"))) > kill)  # noqa: B023
            time.sleep(kill * 0.15)
            process.kill()
            process.wait(30)
        if not kill:
            assert ArchiveTable(settings.archive_url, FEATURES).files() == files
        assert is_unchanged(settings, before), log.read_text()
        compared(settings)
    # Beside traffic and a running archiver, which goes on.
    with archiver_process(settings, tmp_path / "archiver.log"):
        send_some(producer, 50)
        assert not any(rebuild_archive(settings).values())
    archive_to_end(settings)
    compared(settings)
    used: set[str] = set()
    for name in TABLES:
        table = ArchiveTable(settings.archive_url, name)
        table.compact(keep_hours=0)
        used.update(table.files())
    compared(settings)
    # What the killed ones left is deleted.
    left = {str(path) for path in made.glob("*/rebuild-*/**/*") if path.is_file()}
    assert left <= used


def test_a_log_that_was_created_again_is_refused_by_name_however_long_it_is(
    settings: Settings, producer: Producer
) -> None:
    send_some(producer, 20)
    archive_to_end(settings)
    before = everything(settings)
    followed = ArchiveTable(settings.archive_url, TRANSACTIONS).followed
    running = Archiver(settings)
    create_again(settings)
    send_some(producer_of(settings), 1_000)
    assert followed is not None
    refused = pytest.raises(
        OtherLogError, match=rf"follows the log with {followed}.*WEIR_ARCHIVE_URL"
    )
    with refused:
        archive_to_end(settings)
    running._take(TRANSACTIONS, list(read_log(settings.kafka_bootstrap, TRANSACTIONS)))
    with refused:
        running.commit()
    running.close()
    # A training takes it as it is.
    bring_up_to_date(settings)
    assert [one.behind for one in table_status(settings)] == [None] * len(TABLES)
    assert "follows another log" in weir(settings, "archive", "status").output
    result = weir(settings, "archive", "verify")
    assert result.exit_code == 2, result.output
    assert "to a safe place first" in result.output
    with pytest.raises(OtherLogError, match="archive table features follows the log with"):
        run._archived_rows(settings, Recomputed(), {})
    assert is_unchanged(settings, before)


def test_after_the_disk_is_lost_the_archive_is_kept_and_decisions_go_on(
    broker: Services, settings: Settings, producer: Producer, tmp_path: Path
) -> None:
    send_some(producer, 100)
    archive_to_end(settings)
    before, count = everything(settings), rows(settings)[TRANSACTIONS]
    backfill_some(settings)
    assert broker.stack is not None
    broker.stack.down()
    shutil.rmtree(broker.stack.layout.kafka_data)
    broker.stack.up(programs=["kafka", "redis"])
    log = tmp_path / "archiver.log"
    with archiver_process(settings, log) as process:
        assert process.wait(60) == 1
    assert "OtherLogError" in log.read_text()
    # Neither the scorer nor the velocity job reads the archive, so that nothing waits for it.
    bench = scorer_bench(broker, broker, tmp_path)
    with bench.decisions() as decisions, bench.worker():
        ids = bench.ids(20)
        bench.send_rows(ids)
        assert wait_for(decisions, ids).keys() == set(ids)
    send_some(producer_of(settings), 10)
    assert is_unchanged(settings, before)
    result = weir(settings, "archive", "rebuild")
    assert result.exit_code == 2, result.output
    assert "their only copy" in result.output
    with pytest.raises(LostRowsError, match=rf"{count:,} of transactions.*--accept-lost-rows"):
        rebuild_archive(settings)
    assert is_unchanged(settings, before)
    assert len(backfilled(settings)) == 2
    result = weir(settings, "archive", "rebuild", "--accept-lost-rows")
    assert result.exit_code == 0, result.output
    assert f"{BACKFILLED}: 2 rows that the logs do not hold were given up" in result.output
    assert rows(settings)[TRANSACTIONS] == 11
    assert len(backfilled(settings)) == 0
    send_some(producer_of(settings), 10)
    archive_to_end(settings)
    compared(settings)


def test_a_rebuild_that_is_killed_between_swap_and_ids_is_completed_at_the_next_start(
    settings: Settings, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_some(producer, 30)
    archive_to_end(settings)
    create_again(settings)
    send_some(producer_of(settings), 40)

    class Killed(BaseException):
        """What no handler of the rebuild catches."""

    def kill_at_the_last_table(self: ArchiveTable, log: LogIdentity) -> None:
        if self.url == f"{settings.archive_url}/{list(TABLES)[-1]}":
            raise Killed
        follow(self, log)

    follow = ArchiveTable.follow
    monkeypatch.setattr(ArchiveTable, "follow", kill_at_the_last_table)
    with pytest.raises(Killed):
        rebuild_archive(settings, accept_lost_rows=True)
    monkeypatch.undo()
    check_followed(settings, *TABLES)
    archive_to_end(settings)
    compared(settings)
    check_followed(settings, *TABLES)
    for name in TABLES:
        table = ArchiveTable(settings.archive_url, name)
        assert table.followed == describe_topics(settings.kafka_bootstrap, name)[name].identity


def backfill_some(settings: Settings) -> None:
    """Backfilled rows in place of two rows of the feature log."""
    some = in_order(settings, FEATURES).slice(0, 2).select(SCHEMAS[BACKFILLED].names)
    ArchiveTable(settings.archive_url, BACKFILLED).replace(
        some.cast(SCHEMAS[BACKFILLED]), metadata={}
    )


def backfilled(settings: Settings) -> pa.Table:
    return ArchiveTable(settings.archive_url, BACKFILLED).dataset().to_table()
