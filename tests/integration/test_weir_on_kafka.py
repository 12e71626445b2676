"""`weir replay`, `export`, `parity`, `simulate` and `decisions` on a broker of their own.

Of their own, because the topics' names are fixed and the session's broker belongs to the whole
system's tests. The velocity job is its in-memory twin.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner, Result

from clients.kafka_log import read_log
from features.definitions import FEATURE_NAMES
from infra.cli.main import app
from infra.simulation.columns import WEIR
from infra.simulation.tables import TransactionTable
from infra.simulation.world import World
from schemas.feature_row import FeatureRow
from schemas.output_codec import encode_decision
from schemas.settings import Settings, environment_of
from schemas.topics import DECISIONS, FEATURES, LABELS, TRANSACTIONS, is_replay, read_header
from tests import services
from tests.builders import DECISION, NOW_MS
from tests.services import Services
from tests.velocity_twin import TwinOnKafka, VelocityTwin

REPO = Path(__file__).parents[2]
DAY_MS = 86_400_000
DELAY_MS = 24 * 3_600_000
KAFKA_ONLY = ("--only", "feature_log", "--only", "training_rows")
"""Nothing decides here, and there is no Redis."""
BROKEN = "user_amount_sum_1h"


@pytest.fixture(scope="module")
def broker(local_services: Services) -> Iterator[Settings]:
    """A broker with our topics, and nothing that answers; `local_services` marks the test."""
    with services.local_services(keep_logs=lambda: False) as own:
        assert own.stack is not None
        own.stack.up(programs=["kafka"])
        yield own.settings


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve days of a small world as a table under our own names."""
    world = World(seed=21, run="t")
    events = list(
        world.history(start_ms=NOW_MS - 12 * DAY_MS, end_ms=NOW_MS, transactions_per_day=60)
    )
    rows = [orjson.loads(event.value) for event in events if event.is_transaction]
    # Not the world's own frauds, which a small table may lack: the busiest merchant's.
    busiest, _ = Counter(row["merchant_id"] for row in rows).most_common(1)[0]
    for row in rows:
        row["is_fraud"] = row["merchant_id"] == busiest
    path = tmp_path_factory.mktemp("table") / "transactions.parquet"
    names = ("device_type", "ip_country")
    complete = [{**dict.fromkeys(names), **row} for row in rows]
    pq.write_table(pa.Table.from_pylist(complete), path)
    return path


@pytest.fixture(scope="module")
def twin(broker: Settings) -> TwinOnKafka:
    return TwinOnKafka(broker.kafka_bootstrap)


@pytest.fixture(scope="module")
def exported(broker: Settings, table: Path, twin: TwinOnKafka) -> Path:
    """The table replayed through the twin, and the feature log exported."""
    path = table.with_name("features.parquet")
    with twin:
        result = weir(broker, "replay", str(table), "--columns", "weir", "--in-flight-max", "50")
        assert result.exit_code == 0, result.output
    result = weir(broker, "export", "features", str(path))
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="module")
def audited(broker: Settings, exported: Path) -> Result:
    """`weir parity` over the replay, before anything else is sent."""
    return weir(broker, "parity", "--json", *KAFKA_ONLY)


def weir(settings: Settings, *arguments: str) -> Result:
    return CliRunner(env=environment_of(settings)).invoke(app, list(arguments))


def test_parity_of_a_system_without_a_row_has_nothing_to_say(broker: Settings) -> None:
    if list(read_log(broker.kafka_bootstrap, TRANSACTIONS)):
        pytest.skip("another test has sent something")
    result = weir(broker, "parity", "--json", *KAFKA_ONLY)
    assert result.exit_code == 0, result.output
    assert orjson.loads(result.stdout)["checked"] == 0


def test_an_exported_row_is_what_a_fold_of_the_table_in_order_gives(
    exported: Path, table: Path
) -> None:
    source = TransactionTable(table, mapping=WEIR, currency="EUR", label_delay_ms=DELAY_MS)
    twin = VelocityTwin()
    expected = {
        row.transaction.transaction_id: {**row.transaction.to_wire(), **row.features}
        for event in source.events()
        for row in twin.take(event)
    }
    rows = pq.read_table(exported).to_pylist()
    assert len(rows) == len(expected) == len(source)
    for row in rows:
        wanted = expected[row["transaction_id"]]
        assert {name: row[name] for name in wanted} == wanted
    assert any(row["merchant_fraud_rate_30d_delay_7d"] for row in rows)


def test_the_export_has_one_column_a_feature_and_the_place_in_the_log(exported: Path) -> None:
    table = pq.read_table(exported)
    assert set(FEATURE_NAMES) <= set(table.column_names)
    places = list(
        zip(table["log_partition"].to_pylist(), table["log_offset"].to_pylist(), strict=True)
    )
    assert len(set(places)) == len(places)


def test_replayed_records_say_so_and_carry_cloud_event_headers(
    broker: Settings, exported: Path
) -> None:
    for topic, event_type in (
        (TRANSACTIONS, b"weir.transaction.v1"),
        (LABELS, b"weir.label.v1"),
    ):
        records = list(read_log(broker.kafka_bootstrap, topic))
        assert records
        for record in records:
            assert is_replay(record.headers)
            assert read_header(record.headers, "ce_type") == event_type
            assert record.timestamp_ms > NOW_MS - 365 * DAY_MS


def test_parity_over_the_logs_finds_nothing(audited: Result, exported: Path) -> None:
    assert audited.exit_code == 0, audited.output
    report = orjson.loads(audited.stdout)
    assert report["rows"] == pq.read_metadata(exported).num_rows
    surfaces = report["surfaces"]
    assert surfaces["feature_log"]["checked"] == report["rows"] * len(FEATURE_NAMES)
    assert surfaces["training_rows"]["checked"] == report["rows"] * (len(FEATURE_NAMES) + 1)
    assert report["checked"] == sum(surface["checked"] for surface in surfaces.values())
    wrong = ("mismatched", "missing", "extra", "gaps", "late_labels")
    assert [report[name] for name in wrong] == [0] * len(wrong)


def test_live_traffic_is_stamped_with_the_time_it_was_due_and_is_missing_when_nobody_answers(
    broker: Settings, audited: Result
) -> None:
    before = len(list(read_log(broker.kafka_bootstrap, TRANSACTIONS)))
    result = weir(broker, "simulate", "--rate", "300", "--duration", "1", "--seed", "9")
    assert result.exit_code == 0, result.output
    records = list(read_log(broker.kafka_bootstrap, TRANSACTIONS))
    live = [record for record in records if not is_replay(record.headers)]
    assert len(live) == 300
    assert len(records) == before + 300
    for record in live:
        assert record.value is not None
        assert record.timestamp_ms == orjson.loads(record.value)["event_time_ms"]
    again = weir(broker, "parity", "--json", *KAFKA_ONLY)
    assert again.exit_code == 1, again.output
    assert orjson.loads(again.stdout)["missing"] == 300


def test_parity_finds_a_broken_aggregate_in_every_row_and_writes_its_counts(
    broker: Settings, audited: Result, twin: TwinOnKafka, tmp_path: Path
) -> None:
    def broken(row: FeatureRow) -> FeatureRow:
        return replace(row, features={**row.features, BROKEN: (row.features[BROKEN] or 0) + 1})

    wanted = len(list(read_log(broker.kafka_bootstrap, TRANSACTIONS)))
    rows = len(list(read_log(broker.kafka_bootstrap, FEATURES)))
    assert wanted > rows
    with TwinOnKafka(broker.kafka_bootstrap, broken=broken, after=twin) as again:
        again.until_answered(wanted - rows)
    metrics = tmp_path / "parity.prom"
    result = weir(broker, "parity", "--json", "--metrics", str(metrics), *KAFKA_ONLY)
    assert result.exit_code == 1, result.output
    report = orjson.loads(result.stdout)
    found = report["surfaces"]
    assert report["missing"] == report["extra"] == 0
    assert [found[name]["mismatched"] for name in found] == [wanted - rows] * 2
    told = {each["feature"] for name in found for each in found[name]["differences"]}
    assert told == {BROKEN}
    assert f'weir_parity_mismatched{{surface="feature_log"}} {wanted - rows}' in metrics.read_text()
    said = weir(broker, "parity", *KAFKA_ONLY).output
    assert f"feature_log: {BROKEN} of" in said
    unknown = weir(broker, "parity", "--only", "redis")
    assert unknown.exit_code == 2


def test_decisions_are_shown_by_user_and_kind(broker: Settings) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.kafka_bootstrap)
    for number, kind in enumerate(("APPROVE", "BLOCK", "BLOCK")):
        decision = replace(
            DECISION, transaction_id=f"t-{number}", user_id=f"u-{number}", decision=kind
        )
        producer.send(DECISIONS, key=decision.user_id.encode(), value=encode_decision(decision))
    producer.close()
    result = weir(broker, "decisions", "--kind", "block", "--json")
    assert result.exit_code == 0, result.output
    shown = {orjson.loads(line)["transaction_id"] for line in result.stdout.splitlines()}
    assert shown == {"t-1", "t-2"}
    of_user = weir(broker, "decisions", "--user", "u-2")
    assert "t-2" in of_user.stdout
    assert "t-1" not in of_user.stdout


def test_new_decisions_are_followed_until_ctrl_c(broker: Settings) -> None:
    command = [sys.executable, "-m", "infra.cli.main", "decisions", "--follow", "--json"]
    environment = {**os.environ, **environment_of(broker), "PYTHONPATH": str(REPO)}
    producer = KafkaProducer(bootstrap_servers=broker.kafka_bootstrap)

    def send(transaction_id: str) -> bytes:
        value = encode_decision(replace(DECISION, transaction_id=transaction_id))
        producer.send(DECISIONS, key=b"u", value=value).get(10)
        return value + b"\n"

    past = send("past")
    # A program that a shell has put into the background ignores SIGINT, and so would its child.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while process.stdout.readline() != past:
            pass
        new = send("new")
        assert process.stdout.readline() == new
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    producer.close()
