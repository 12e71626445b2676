"""A window is added to the definitions, as a user would, and a backfill makes it whole.

The stack runs from a copy of the sources, in which the definitions are edited. Every value, of the
archive, of Redis and of what is served live afterwards, is compared with the brute-force oracle.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import redis
from confluent_kafka import Consumer, TopicPartition
from deltalake import DeltaTable
from kafka import KafkaProducer

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.online import feast_values
from features.online import layout as online_store
from infra.local.layout import REPO
from infra.local.ports import free_ports
from infra.local.stack import Stack
from schemas import topics
from schemas.settings import Settings, environment_of
from streams.velocity.cluster import GROUP_ID
from tests.topic_tail import tail
from tests.traffic import now_ms
from tests.unit.features.engine import brute_force
from tests.unit.features.engine.brute_force import D, MerchantOracle, Payment, Report, UserOracle

ROOMS = (
    *("clients", "features", "infra", "models", "operations", "schemas", "scoring", "streams"),
    *("training", "pyproject.toml"),
)
INSTALLED = (".venv", ".venv-streams", ".cache", ".tools")
SERVICES = ("kafka", "redis", "jobmanager", "taskmanager", "archiver")
ANSWER_S_MAX = 120.0
COMMAND_S_MAX = 300.0
DAYS = 12
OLD_WINDOWS = "(5 * MINUTE_MS, HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS)"
NEW_WINDOWS = "(5 * MINUTE_MS, HOUR_MS, DAY_MS, 3 * DAY_MS, 7 * DAY_MS, 30 * DAY_MS)"
NEW_NAMES = {f"user_{what}_3d" for what in ("transaction_count", "amount_sum", "amount_mean")}


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A copy of the sources that a test may edit; what is installed is shared."""
    directory = Path(tempfile.mkdtemp(prefix="weir-copy-", dir="/tmp"))
    for name in ROOMS:
        if (REPO / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPO / name, directory / name, ignore=ignored)
        else:
            shutil.copy2(REPO / name, directory / name)
    for name in INSTALLED:
        (directory / name).symlink_to(REPO / name)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def stack(checkout: Path) -> Iterator[Stack]:
    data_dir = Path(tempfile.mkdtemp(prefix="weir-test-", dir="/tmp"))
    kafka, redis_port, mlflow, rest, rpc, api = free_ports(6)
    settings = Settings(
        data_dir=data_dir,
        kafka_port=kafka,
        redis_port=redis_port,
        mlflow_port=mlflow,
        flink_rest_port=rest,
        flink_rpc_port=rpc,
        api_port=api,
        archive_commit_ms=1_000,
        # `send` waits for the next one each time.
        checkpoint_interval_ms=1_000,
    )
    running = Stack(settings, repo=checkout, tied=True)
    try:
        yield running
    finally:
        running.down()
        shutil.rmtree(data_dir, ignore_errors=True)


@dataclass
class Told:
    """What has been sent, and what the oracle says must come of it."""

    rng: random.Random
    start_ms: int
    sent: list[dict[str, Any]] = field(default_factory=list)
    expected: dict[str, dict[str, Any]] = field(default_factory=dict)
    users: dict[str, UserOracle] = field(default_factory=lambda: defaultdict(UserOracle))
    merchants: dict[str, MerchantOracle] = field(
        default_factory=lambda: defaultdict(MerchantOracle)
    )

    def transactions(self, count: int, *, from_ms: int, until_ms: int) -> list[dict[str, Any]]:
        """Payments over a stretch of time, some of them late, folded by the oracle."""
        times = sorted(self.rng.randrange(from_ms, until_ms) for _ in range(count))
        made = []
        for time_ms in times:
            number = len(self.sent)
            late_ms = self.rng.choice((0, 0, 0, 7 * 3_600_000))
            event = {
                "transaction_id": f"t{number}",
                "user_id": f"u{self.rng.randrange(9)}",
                "merchant_id": f"m{self.rng.randrange(4)}",
                "amount_minor": self.rng.randrange(1, 90_000),
                "currency": "EUR",
                "event_time_ms": max(self.start_ms, time_ms - late_ms),
            }
            self.sent.append(event)
            made.append(event)
            self.expected[event["transaction_id"]] = self._fold(event)
        return made

    def _fold(self, event: dict[str, Any]) -> dict[str, Any]:
        names = ("transaction_id", "merchant_id", "amount_minor", "event_time_ms")
        user = self.users[event["user_id"]].fold(Payment(**{name: event[name] for name in names}))
        merchant = self.merchants[event["merchant_id"]].fold(
            event["transaction_id"], event["event_time_ms"]
        )
        return {**user.features, **merchant.features}

    def labels(self, of: list[dict[str, Any]], *, observed_after_ms: int) -> list[dict[str, Any]]:
        """Fraud reports of some transactions, folded by the oracle."""
        made = []
        for event in of:
            label = {
                "transaction_id": event["transaction_id"],
                "event_time_ms": event["event_time_ms"],
                "observed_time_ms": event["event_time_ms"] + observed_after_ms,
                "is_fraud": True,
                "merchant_id": event["merchant_id"],
            }
            self.merchants[event["merchant_id"]].fold_label(Report(**label))
            made.append(label)
        return made


def send(stack: Stack, topic: str, events: list[dict[str, Any]]) -> None:
    """Send as a replay, and wait until a checkpoint of the job says that it has read all of it."""
    key = {topics.TRANSACTIONS: "user_id", topics.LABELS: "merchant_id"}[topic]
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka_bootstrap)
    for event in events:
        producer.send(
            topic,
            key=event[key].encode(),
            value=orjson.dumps(event),
            headers=[topics.REPLAY_HEADER],
        )
    producer.flush()
    producer.close()
    bootstrap = stack.settings.kafka_bootstrap
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP_ID, "log_level": 0})
    try:
        eventually(lambda: has_read_all(consumer, topic))
    finally:
        consumer.close()


def has_read_all(consumer: Consumer, topic: str) -> bool:
    places = [TopicPartition(topic, number) for number in range(Settings().topic_partitions)]
    committed = consumer.committed(places, timeout=10.0)
    ends = [consumer.get_watermark_offsets(place, timeout=10.0)[1] for place in places]
    return all(max(at.offset, 0) >= end for at, end in zip(committed, ends, strict=True))


def eventually(claim: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + ANSWER_S_MAX
    while not claim():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


def weir(stack: Stack, *arguments: str) -> dict[str, Any]:
    """Run the command of the copy; give the JSON object that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        cwd=stack.layout.repo,
        env={
            **os.environ,
            **environment_of(stack.settings),
            "PYTHONPATH": str(stack.layout.repo),
        },
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3_000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def add_window(checkout: Path) -> None:
    """What a person does to add a window."""
    path = checkout / "features" / "definitions.py"
    text = path.read_text(encoding="utf-8")
    assert text.count(OLD_WINDOWS) == 1
    path.write_text(text.replace(OLD_WINDOWS, NEW_WINDOWS), encoding="utf-8")


def assert_values(found: dict[str, Any], expected: dict[str, Any], whose: object) -> None:
    for name, value in expected.items():
        if value is None:
            assert found[name] is None or found[name] != found[name], (whose, name)
        else:
            assert found[name] == value, (whose, name)


def stored(stack: Stack, user_id: str) -> dict[str, int]:
    """Redis' integer values of a user."""
    client = redis.Redis.from_url(stack.settings.redis_url)
    key = online_store.entity_key("user", user_id, stack.settings.feast_project)
    fields = client.hgetall(key)
    client.close()
    names = [name for name in (*FEATURE_NAMES, *NEW_NAMES) if name.startswith("user_")]
    values = {}
    for name in names:
        value = fields[online_store.field_name("user_velocity", name)]
        if value[:1] == b"\x20":
            values[name] = feast_values.read_number(value)
    return values


@pytest.mark.timeout(900)
def test_a_new_window_is_complete_in_archive_redis_and_stream_after_a_backfill(
    stack: Stack, checkout: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setitem(brute_force.USER_WINDOWS, "3d", 3 * D)
    now = now_ms()
    start_ms = now - DAYS * D
    told = Told(random.Random(pytestconfig.option.hypothesis_seed), start_ms)
    stack.up(programs=(*SERVICES, "velocity-job"))
    first = told.transactions(250, from_ms=start_ms, until_ms=now - 4 * D)
    send(stack, topics.TRANSACTIONS, first)
    # Half of these were observed before events that have been scored: they came late, and must
    # come as late in the backfill.
    send(stack, topics.LABELS, told.labels(first[::5], observed_after_ms=7 * D))
    second = told.transactions(250, from_ms=now - 4 * D, until_ms=now - D)
    send(stack, topics.TRANSACTIONS, second)
    send(stack, topics.LABELS, told.labels(second[::7], observed_after_ms=3_600_000))
    stack.down()

    add_window(checkout)
    stack.up(programs=SERVICES)
    report = weir(stack, "backfill", "--json")
    print({name: report[name] for name in ("rows", "labels", "compared", "different")})
    assert report["rows"] == report["folded"] == len(first) + len(second)
    assert (report["is_seeded"], report["different"]) == (True, 0)
    assert report["compared"] == report["rows"] * len(FEATURE_NAMES)
    assert report["definition_digest"] != DEFINITION_DIGEST
    earliest_ms = min(event["event_time_ms"] for event in told.sent)
    assert report["complete_since_ms"]["user_amount_sum_3d"] == earliest_ms + 3 * D
    assert_archived(stack, told)
    assert_stored(stack, told)

    stack.up(programs=("velocity-job", "api"))
    third = told.transactions(100, from_ms=now - D, until_ms=now - 60_000)
    send(stack, topics.TRANSACTIONS, third)
    assert_logged(stack, told, third, digest=report["definition_digest"])
    assert_served_as_of_now(stack, told)
    again = weir(stack, "backfill", "--json")
    assert (again["folded"], again["is_seeded"]) == (0, False)
    surfaces = ("archived_rows", "online_users", "online_merchants")
    parity = weir(stack, "parity", "--json", *(f"--only={surface}" for surface in surfaces))
    print(
        {
            name: parity[name]
            for name in ("checked", "mismatched", "missing", "extra", "late_labels")
        }
    )
    assert (parity["mismatched"], parity["missing"], parity["extra"]) == (0, 0, 0)
    width = 1 + len(FEATURE_NAMES) + len(NEW_NAMES)
    assert parity["surfaces"]["archived_rows"]["checked"] >= report["rows"] * width


def assert_archived(stack: Stack, told: Told) -> None:
    """The backfilled rows: all of a user's features, as the oracle has them."""
    rows = DeltaTable(f"{stack.settings.archive_url}/backfilled_features").to_pyarrow_table()
    assert len(rows) == len(told.sent)
    for row in rows.to_pylist():
        # How the partitions of users met at a merchant, a backlog of days at once, only the stream
        # knows: `different` has compared these with what it said.
        expected = told.expected[row["transaction_id"]]
        of_user = {name: expected[name] for name in expected if name.startswith("user_")}
        assert_values(row, of_user, row["transaction_id"])


def assert_stored(stack: Stack, told: Told) -> None:
    """Redis, before the job runs: every user, as of the newest event."""
    for user_id, user in told.users.items():
        assert user.newest is not None
        expected = user.features_as_of(user.newest)
        found = stored(stack, user_id)
        assert found == {name: expected[name] for name in found}
        assert NEW_NAMES - {"user_amount_mean_3d"} <= found.keys()


def assert_logged(stack: Stack, told: Told, new: list[dict[str, Any]], *, digest: str) -> None:
    """The feature log goes on where it ended, with rows of the new definitions."""
    with tail(stack.settings.kafka_bootstrap, topics.FEATURES, from_beginning=True) as log:
        log.until(lambda records: len(records) >= len(told.sent), within_ms=60_000)
        logged = list(log.objects())
    # The old rows were not computed again.
    assert len(logged) == len(told.sent)
    served = {row["transaction"]["transaction_id"]: row for row in logged}
    for event in new:
        row = served[event["transaction_id"]]
        assert row["definition_digest"] == digest
        assert_values(row["features"], told.expected[event["transaction_id"]], event)


def assert_served_as_of_now(stack: Stack, told: Told) -> None:
    """The API reads the state in Redis as of now, which the job goes on writing."""
    url = f"http://{stack.settings.api_host}:{stack.settings.api_port}/features"
    for user_id, user in told.users.items():

        def is_as_expected(user_id: str = user_id, user: UserOracle = user) -> bool:
            answer = httpx.get(f"{url}/{user_id}").json()
            expected = user.features_as_of(now_ms())
            return all(answer["features"][name] == value for name, value in expected.items())

        eventually(is_as_expected)
