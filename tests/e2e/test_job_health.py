"""A velocity job that fails again and again: who says so, and that it goes on by itself after."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from kafka import KafkaProducer
from typer.testing import CliRunner

from clients.probes import wait_until
from infra.cli.main import app
from infra.local import job_health
from infra.local.doctor import examine
from infra.local.errors import StackError
from infra.local.lag import read_lags
from infra.local.programs import VELOCITY_JOB
from schemas import topics
from schemas.settings import environment_of
from streams.velocity.cluster import followed_logs_file
from tests.services import Services
from tests.topic_tail import by_transaction, tail
from tests.traffic import live_transaction

CAUSE = "The timestamp should be within"
STEP_S_MAX = 120.0
SHORTER_MS = 5_000


@contextmanager
def features_accept_no_row(bootstrap: str) -> Iterator[None]:
    """Let the broker refuse every row, because it was made before it arrived."""
    setting = "message.timestamp.before.max.ms"
    admin = AdminClient({"bootstrap.servers": bootstrap})

    def alter(operation: AlterConfigOpType) -> None:
        entry = ConfigEntry(setting, "0", incremental_operation=operation)
        resource = ConfigResource(ResourceType.TOPIC, topics.FEATURES, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(20)

    alter(AlterConfigOpType.SET)
    try:
        yield
    finally:
        alter(AlterConfigOpType.DELETE)


def until(condition: Callable[[], bool], *, within_s: float) -> None:
    assert wait_until(condition, timeout_s=within_s)


def has_no_lag(bootstrap: str) -> bool:
    return not any(lag.records for lag in read_lags(bootstrap))


@pytest.mark.timeout(600)
def test_a_job_whose_topic_has_become_another_log_is_cancelled_and_nothing_is_skipped(
    weir_stack: Services,
) -> None:
    stack = weir_stack.stack
    assert stack is not None
    note = followed_logs_file(stack.settings)
    # The job knew its logs since its first start. Another note is what another log looks like.
    noted = note.read_text()
    log = stack.layout.log(VELOCITY_JOB)
    with tail(weir_stack.kafka_bootstrap, topics.DECISIONS) as decisions:
        other = json.loads(noted)
        other[topics.TRANSACTIONS]["topic_id"] = "of-a-lost-disk"
        note.write_text(json.dumps(other))
        until(lambda: not stack.job_health().state, within_s=STEP_S_MAX)
        until(lambda: "topic id of-a-lost-disk" in log.read_text(), within_s=STEP_S_MAX)
        assert "copy both to a safe place first" in log.read_text()
        event = live_transaction(uuid.uuid4().hex[:8], 0)
        producer = KafkaProducer(bootstrap_servers=weir_stack.kafka_bootstrap)
        producer.send(topics.TRANSACTIONS, orjson.dumps(event), b"u").get(20)
        producer.close()
        note.write_text(noted)
        stack.up()
        decisions.until(
            lambda _: bool(by_transaction(decisions, {event["transaction_id"]})),
            within_ms=60_000,
        )
    until(lambda: stack.job_health().is_well, within_s=STEP_S_MAX)


@pytest.mark.timeout(600)
def test_a_job_that_fails_again_and_again_is_not_called_up_and_its_cause_is_shown(
    weir_stack: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = weir_stack.stack
    assert stack is not None
    # The job commits its offsets with a checkpoint; earlier tests may have sent many records.
    until(lambda: has_no_lag(weir_stack.kafka_bootstrap), within_s=STEP_S_MAX)
    event = live_transaction(uuid.uuid4().hex[:8], 0)
    with tail(weir_stack.kafka_bootstrap, topics.DECISIONS) as decisions:
        with features_accept_no_row(weir_stack.kafka_bootstrap):
            producer = KafkaProducer(bootstrap_servers=weir_stack.kafka_bootstrap)
            producer.send(topics.TRANSACTIONS, orjson.dumps(event), b"u").get(20)
            producer.close()
            until(lambda: stack.job_health().recent_failures > 1, within_s=STEP_S_MAX)

            shown = CliRunner(env=environment_of(stack.settings)).invoke(app, ["status"])
            assert shown.exit_code == 1
            assert "velocity job restarting" in shown.stdout
            assert CAUSE in shown.stdout
            assert "taskmanager.log" in shown.stdout
            assert "velocity-job is 1 records behind `transactions`" in shown.stdout

            checks = {check.name: check for check in examine(stack)}
            assert CAUSE in checks["velocity-job"].detail
            assert "taskmanager.log" in checks["velocity-job"].advice
            with pytest.raises(StackError, match=CAUSE):
                stack.up()
        decisions.until(
            lambda _: bool(by_transaction(decisions, {event["transaction_id"]})),
            within_ms=60_000,
        )
    # Until the failures are a minute old nothing changes but their age.
    monkeypatch.setattr(job_health, "RECENT_MS", SHORTER_MS)
    until(lambda: stack.job_health().is_well, within_s=STEP_S_MAX)
    assert not stack.up()
    until(lambda: has_no_lag(weir_stack.kafka_bootstrap), within_s=STEP_S_MAX)
