"""Labels on real servers: a wrong merchant is corrected; `weir label` looks up the right one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import redis
from confluent_kafka import Producer
from typer.testing import CliRunner, Result

from clients.kafka_log import read_log
from clients.log_record import Record
from features.engine.state import MerchantState
from infra.cli.main import app
from infra.local.topics import create_topics
from operations.labels.recorded import count_corrections
from schemas.codec import decode_label, encode_label
from schemas.decision import Offset
from schemas.feature_row import FeatureRow
from schemas.label import Label
from schemas.output_codec import encode_feature_row
from schemas.settings import Settings, environment_of
from schemas.topics import FEATURES, LABELS, LIBRDKAFKA_PARTITIONER, read_header
from tests.builders import LABEL, LIMITS, NOW_MS, transaction
from tests.kept_decision import keep_decision, send_row
from tests.scoring_fakes import feature_row
from tests.services import Services
from training.archive.archiver import archive_to_end

REPO = Path(__file__).parents[2]
DAY_MS = 86_400_000
WAIT_S_MAX = 60.0


@pytest.fixture
def settings(kafka: Services, redis_server: Services, tmp_path: Path) -> Settings:
    """The broker and the Redis of all tests, with an archive of the test's own."""
    create_topics(kafka.kafka_bootstrap, kafka.settings.topic_partitions)
    changes = {
        "archive_url": str(tmp_path / "archive"),
        "archive_commit_ms": 60,
        "label_check_s": 1,
        "redis_url": redis_server.redis_url,
    }
    return kafka.settings.model_copy(update=changes)


@pytest.fixture
def producer(kafka: Services) -> Producer:
    return Producer(
        {"bootstrap.servers": kafka.kafka_bootstrap, "partitioner": LIBRDKAFKA_PARTITIONER}
    )


@pytest.fixture
def prefix() -> str:
    return f"label-{uuid.uuid4().hex[:8]}"


def row_of(transaction_id: str, merchant_id: str) -> FeatureRow:
    event = transaction(
        transaction_id=transaction_id,
        merchant_id=merchant_id,
        event_time_ms=LABEL.event_time_ms,
    )
    return replace(feature_row(), transaction=event)


def send_rows(producer: Producer, *ids_and_merchants: tuple[str, str]) -> None:
    for ids in ids_and_merchants:
        producer.produce(FEATURES, encode_feature_row(row_of(*ids)), key="u-1")
    producer.flush(30)


def send_labels(producer: Producer, *ids_and_merchants: tuple[str, str]) -> None:
    for transaction_id, merchant_id in ids_and_merchants:
        label = replace(LABEL, transaction_id=transaction_id, merchant_id=merchant_id)
        producer.produce(LABELS, encode_label(label), key=merchant_id)
    producer.flush(30)


def labels_of(settings: Settings, prefix: str) -> list[tuple[Label, Record]]:
    """The labels in the topic whose transactions begin with a prefix."""
    return [
        (decode_label(record.value, limits=LIMITS, now_ms=NOW_MS, is_replay=True), record)
        for record in read_log(settings.kafka_bootstrap, LABELS)
        if record.value is not None and prefix.encode() in record.value
    ]


def corrections_of(settings: Settings, prefix: str) -> list[tuple[str, str]]:
    return sorted(
        (label.transaction_id, label.merchant_id)
        for label, record in labels_of(settings, prefix)
        if read_header(record.headers, "weir-corrects") is not None
    )


def eventually(claim: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S_MAX
    while not claim():
        assert time.monotonic() < deadline_s, f"not within {WAIT_S_MAX} s"
        time.sleep(0.2)


@contextmanager
def program(settings: Settings, module: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of the stack with these settings."""
    process = subprocess.Popen(
        [sys.executable, "-m", module], cwd=REPO, env={**os.environ, **environment_of(settings)}
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def test_labels_that_name_another_merchant_are_corrected_once_each(
    settings: Settings, producer: Producer, prefix: str
) -> None:
    ids = [f"{prefix}-{number:02}" for number in range(40)]
    right = f"{prefix}-right"
    wrong = [transaction_id for number, transaction_id in enumerate(ids) if number % 8 == 0]
    send_rows(producer, *((one, right) for one in ids[:32]))
    reported = [(one, f"{prefix}-other" if one in wrong else right) for one in ids]
    expected = [(one, right) for one in wrong]
    with ExitStack() as programs:
        programs.enter_context(program(settings, "training.archive.archiver"))
        checker = programs.enter_context(program(settings, "operations.labels.checker"))
        send_labels(producer, *reported)
        eventually(lambda: len(corrections_of(settings, prefix)) >= 4)
        checker.send_signal(signal.SIGKILL)
        checker.wait(20)
        # The last eight arrive after their labels, when no checker runs.
        send_rows(producer, *((one, right) for one in ids[32:]))
        programs.enter_context(program(settings, "operations.labels.checker"))
        eventually(lambda: corrections_of(settings, prefix) == expected)
        # A checker that starts again sends nothing again.
        time.sleep(5 * settings.label_check_s)
    assert corrections_of(settings, prefix) == expected
    assert count_corrections(settings.archive_url) == len(expected)
    places = {
        label.transaction_id: f"labels-{record.partition}@{record.offset}".encode()
        for label, record in labels_of(settings, prefix)
        if label.merchant_id != right
    }
    for label, record in labels_of(settings, prefix):
        given = read_header(record.headers, "weir-corrects")
        if given is not None:
            assert given == places[label.transaction_id]
            assert record.key == right.encode()
            assert label == replace(LABEL, transaction_id=label.transaction_id, merchant_id=right)


def test_a_corrected_label_counts_for_the_right_merchant(
    settings: Settings, producer: Producer, prefix: str
) -> None:
    transaction_id, right = f"{prefix}-1", f"{prefix}-right"
    send_rows(producer, (transaction_id, right))
    send_labels(producer, (transaction_id, f"{prefix}-other"))
    archive_to_end(settings)
    with program(settings, "operations.labels.checker"):
        eventually(lambda: corrections_of(settings, prefix) == [(transaction_id, right)])
    state = MerchantState()
    state.fold_transaction(
        transaction_id=transaction_id, event_time_ms=LABEL.event_time_ms, is_repeat=False
    )
    for label, record in labels_of(settings, prefix):
        if record.key == right.encode():
            state.fold_label(label)
    values = state.read(as_of_ms=LABEL.event_time_ms + 7 * DAY_MS)
    assert values.features["merchant_fraud_rate_1d_delay_7d"] == 1.0


# --- weir label ------------------------------------------------------------------------


def weir_label(settings: Settings, *arguments: str) -> Result:
    environment = {**environment_of(settings), "COLUMNS": "300"}
    return CliRunner(env=environment).invoke(app, ["label", *arguments])


def remember(settings: Settings, transaction_id: str, *, merchant_id: str) -> None:
    """Keep a first decision, with its row in the feature log."""
    row = row_of(transaction_id, merchant_id)
    place = send_row(settings.kafka_bootstrap, row)
    with redis.Redis.from_url(settings.redis_url) as client:
        keep_decision(client, row, place, now_s=int(time.time()))


def remember_without_row(settings: Settings, transaction_id: str) -> None:
    """Keep a first decision whose row the feature log does not have."""
    with redis.Redis.from_url(settings.redis_url) as client:
        row = row_of(transaction_id, "m-1")
        keep_decision(client, row, Offset(0, 10**9), now_s=int(time.time()))


def test_weir_label_takes_merchant_and_time_from_the_first_decision(
    settings: Settings, prefix: str
) -> None:
    remember(settings, prefix, merchant_id=f"{prefix}-m")
    before_ms = time.time_ns() // 1_000_000
    result = weir_label(settings, prefix, "--fraud", "--by", "Zoë of disputes")
    assert result.exit_code == 0, result.output
    ((label, record),) = labels_of(settings, prefix)
    assert label == Label(prefix, f"{prefix}-m", LABEL.event_time_ms, label.observed_time_ms, True)
    assert before_ms <= label.observed_time_ms <= time.time_ns() // 1_000_000
    assert record.key == f"{prefix}-m".encode()
    assert read_header(record.headers, "weir-labelled-by") == "Zoë of disputes".encode()
    assert read_header(record.headers, "ce_type") == b"weir.label.v1"
    assert read_header(record.headers, "weir-replay") is None
    for text in (f"labels-{record.partition}@{record.offset}", f"{prefix}-m", "first decision"):
        assert text in result.output


@pytest.mark.parametrize("has_decision", [True, False])
def test_weir_label_takes_them_from_the_archive_where_the_decision_has_no_row(
    settings: Settings, producer: Producer, prefix: str, *, has_decision: bool
) -> None:
    if has_decision:
        remember_without_row(settings, prefix)
    send_rows(producer, (prefix, f"{prefix}-m"))
    archive_to_end(settings)
    result = weir_label(settings, prefix, "--legitimate", "--by", "ops", "--json")
    assert result.exit_code == 0, result.output
    answer = orjson.loads(result.stdout)
    ((label, record),) = labels_of(settings, prefix)
    assert not label.is_fraud
    assert answer == {
        "transaction_id": prefix,
        "merchant_id": f"{prefix}-m",
        "event_time_ms": LABEL.event_time_ms,
        "observed_time_ms": label.observed_time_ms,
        "is_fraud": False,
        "labelled_by": "ops",
        "found_in": "archive",
        "partition": record.partition,
        "offset": record.offset,
    }


def test_weir_label_works_without_redis(
    settings: Settings, producer: Producer, prefix: str
) -> None:
    send_rows(producer, (prefix, f"{prefix}-m"))
    archive_to_end(settings)
    down = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    assert weir_label(down, prefix, "--fraud", "--by", "ops").exit_code == 0
    ((label, _),) = labels_of(settings, prefix)
    assert label.merchant_id == f"{prefix}-m"


@pytest.mark.parametrize("has_archive", [True, False])
def test_weir_label_refuses_an_unknown_transaction_and_says_what_to_do(
    settings: Settings, prefix: str, *, has_archive: bool
) -> None:
    if has_archive:
        archive_to_end(settings)
    result = weir_label(settings, prefix, "--fraud", "--by", "ops")
    assert result.exit_code == 2
    for text in (prefix, "is not known", "Nothing was sent", "weir archive status"):
        assert text in result.stderr
    assert labels_of(settings, prefix) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--by", "ops"), "--fraud"),
        (("--fraud",), "--by"),
        (("--fraud", "--by", " "), "--by"),
        (("--fraud", "--by", "x" * 129), "--by"),
    ],
)
def test_weir_label_needs_to_know_what_it_was_and_who_says_so(
    settings: Settings, prefix: str, arguments: tuple[str, ...], text: str
) -> None:
    result = weir_label(settings, prefix, *arguments)
    assert result.exit_code == 2
    assert text in result.stderr
    assert labels_of(settings, prefix) == []
