"""What the supervisor of the local stack promises, shown with the cheapest program, Redis."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient

from clients import probes
from infra.local import processes
from infra.local.errors import OtherSettingsError, PortInUseError, StackError
from infra.local.ports import free_ports
from infra.local.programs import STACK_VARIABLE
from infra.local.stack import Stack
from schemas import topics
from schemas.settings import Settings
from tests.services import Services

pytestmark = pytest.mark.service

SETTLED_S = 30.0


@pytest.fixture
def settings() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="weir-test-", dir="/tmp") as directory:
        kafka, redis, mlflow, rest, rpc, api = free_ports(6)
        yield Settings(
            data_dir=Path(directory),
            kafka_port=kafka,
            redis_port=redis,
            mlflow_port=mlflow,
            flink_rest_port=rest,
            flink_rpc_port=rpc,
            api_port=api,
        )


@pytest.fixture
def stack(settings: Settings) -> Iterator[Stack]:
    stack = Stack(settings, tied=True)
    yield stack
    stack.down()


def test_a_second_up_does_nothing(stack: Stack) -> None:
    assert stack.up(programs=["redis"])
    pid = stack.pid("redis")
    assert not stack.up(programs=["redis"])
    assert stack.pid("redis") == pid


def test_a_running_stack_is_not_taken_for_one_with_other_settings(
    stack: Stack, settings: Settings
) -> None:
    stack.up(programs=["redis"])
    other = Stack(settings.model_copy(update={"review_threshold": 0.25}))
    with pytest.raises(OtherSettingsError, match=r"REVIEW_THRESHOLD=0\.5 there, 0\.25 here"):
        other.up(programs=["redis"])


def test_a_killed_program_comes_back(stack: Stack) -> None:
    stack.up(programs=["redis"])
    killed = stack.pid("redis")
    os.kill(killed, signal.SIGKILL)
    assert probes.wait_until(lambda: not processes.is_alive(killed), timeout_s=SETTLED_S)
    stack.wait_ready(["redis"])
    assert stack.pid("redis") != killed


def test_up_creates_a_topic_that_is_missing_while_kafka_runs(
    stack: Stack, settings: Settings
) -> None:
    stack.up(programs=["kafka"])
    with closing(KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)) as admin:
        admin.delete_topics([topics.SHADOW_DECISIONS])
        assert probes.wait_until(
            lambda: topics.SHADOW_DECISIONS not in admin.list_topics(), timeout_s=SETTLED_S
        )
        assert not stack.up(programs=["kafka"])
        assert topics.SHADOW_DECISIONS in admin.list_topics()


def test_down_leaves_no_process_and_keeps_the_data(stack: Stack, settings: Settings) -> None:
    stack.up(programs=["redis"])
    assert stack.down()
    assert processes.of_stack(settings.data_dir) == []
    assert (settings.data_dir / "redis" / "appendonlydir").is_dir()
    assert not stack.down()


def test_down_ends_what_a_killed_supervisor_left(stack: Stack, settings: Settings) -> None:
    stack.up(programs=["redis"])
    redis = stack.pid("redis")
    supervisor = int(stack.layout.supervisor_pid.read_text())
    os.kill(supervisor, signal.SIGKILL)
    assert probes.wait_until(lambda: not stack.is_running(), timeout_s=SETTLED_S)
    with pytest.raises(StackError, match=rf"{redis}.* are left"):
        stack.up(programs=["redis"])
    assert stack.down()
    assert processes.of_stack(settings.data_dir) == []


def test_a_port_in_use_is_reported_by_name_before_anything_starts(
    stack: Stack, settings: Settings
) -> None:
    with (
        socket.create_server(("127.0.0.1", settings.redis_port)),
        pytest.raises(PortInUseError) as refusal,
    ):
        stack.up(programs=["redis"])
    said = str(refusal.value)
    assert f"port {settings.redis_port}" in said
    assert "redis (WEIR_REDIS_PORT)" in said
    assert f"pid {os.getpid()}" in said
    assert processes.of_stack(settings.data_dir) == []


def test_two_stacks_run_side_by_side(stack: Stack, local_services: Services) -> None:
    other = local_services.stack
    assert other is not None
    other.up(programs=["redis"])
    stack.up(programs=["redis"])
    stack.down()
    assert [status.ready for status in other.status() if status.name == "redis"] == [True]


def test_a_tied_stack_ends_when_its_process_is_killed(settings: Settings) -> None:
    code = (
        "from infra.local.stack import Stack; from schemas.settings import Settings\n"
        "Stack(Settings(), tied=True).up(programs=['redis']); print('up', flush=True); input()"
    )
    stack = Stack(settings)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**stack.environment(), STACK_VARIABLE: "the test itself"},
        cwd=stack.layout.repo,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        assert processes.of_stack(settings.data_dir)
        owner.kill()
    assert probes.wait_until(
        lambda: processes.of_stack(settings.data_dir) == [], timeout_s=SETTLED_S
    )
