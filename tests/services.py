"""Real services for tests: one interface, two implementations.

If a container engine answers, Kafka and Redis come from testcontainers. Otherwise they are local
processes under the same supervisor that `make up` uses; MLflow, Flink and the whole stack always
are. A test gets a `Services` in both cases and must not depend on which it is.

`WEIR_TEST_SERVICES=local` or `=containers` makes the choice explicit.
"""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local import processes
from infra.local.ports import free_ports
from infra.local.stack import Stack
from schemas.settings import Settings

ENGINE_TIMEOUT_S = 2
LABEL_CHECK_S = 5
"""So that a test waits for the next look at the labels for seconds, and not for half a minute."""
REDIS_TIMEOUT_MS = 1_000
"""By default a decision waits 50 ms, then goes without Redis: on a busy machine that happens."""
KAFKA_IMAGE = "confluentinc/cp-kafka:7.6.0"  # the one testcontainers itself is tested with
REDIS_IMAGE = "redis:7.2"


@dataclass(frozen=True)
class Services:
    """The addresses of the services; settings of services that do not run point to closed ports.

    Attributes:
        settings: settings as an entry point would get them.
        stack: the local stack, None if the services are containers.
    """

    settings: Settings
    stack: Stack | None

    @property
    def kafka_bootstrap(self) -> str:
        return self.settings.kafka_bootstrap

    @property
    def redis_url(self) -> str:
        return self.settings.redis_url

    @property
    def mlflow_uri(self) -> str:
        return self.settings.mlflow_tracking_uri

    @property
    def flink_rest_url(self) -> str:
        return self.settings.flink_rest_url

    def new_topic(self, prefix: str = "test", *, partitions: int = 1) -> str:
        """Create a topic that no other test uses; the broker creates none by itself.

        Kept forever, as Weir's own topics are: tests write timestamps of weeks ago, and with its
        default of 7 days Kafka would delete such records 30 s after its start, then every 5 min.
        """
        from kafka.admin import KafkaAdminClient  # slow to import, and unit tests do not need it

        from infra.local.topics import wait_until_served

        topic = unique_name(prefix)
        admin = KafkaAdminClient(bootstrap_servers=self.kafka_bootstrap)
        try:
            admin.create_topics(
                {
                    topic: {
                        "num_partitions": partitions,
                        "replication_factor": 1,
                        "configs": {"retention.ms": "-1"},
                    }
                },
                wait_for_metadata=True,
            )
        finally:
            admin.close()
        wait_until_served(self.kafka_bootstrap, [topic])
        return topic


def unique_name(prefix: str) -> str:
    """A name no other test uses, for topics, consumer groups, keys and models."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def wants_containers(choice: str | None, engine_answers: Callable[[], bool]) -> bool:
    """Whether Kafka and Redis are containers.

    Args:
        choice: value of ``WEIR_TEST_SERVICES``.
        engine_answers: called only if no choice was made, or to check that containers are possible.
    """
    if choice not in (None, "local", "containers"):
        raise ValueError(f"WEIR_TEST_SERVICES={choice!r}; write local or containers")
    if choice == "local":
        return False
    answers = engine_answers()
    if choice == "containers" and not answers:
        raise RuntimeError("WEIR_TEST_SERVICES=containers, but no container engine answers")
    return answers


def container_engine_answers() -> bool:
    """Whether a container engine answers a ping within ``ENGINE_TIMEOUT_S``."""
    import docker  # slow to import, and unit tests do not need it
    import docker.errors

    try:
        client = docker.from_env(timeout=ENGINE_TIMEOUT_S)
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        client.close()


@contextmanager
def local_services(
    *, keep_logs: Callable[[], bool], flink_parallelism: int = 1, models: str = ""
) -> Iterator[Services]:
    """A local stack with its own directory and ports, nothing started yet.

    Everything it starts ends with this process, even if this process is killed.

    Args:
        keep_logs: called at the end; if true the logs are kept and their path is printed.
        flink_parallelism: of the velocity job.
        models: definitions of further models, as the setting names them.
    """
    data_dir = Path(tempfile.mkdtemp(prefix="weir-test-", dir="/tmp"))  # a socket's path is short
    kafka, redis, mlflow, rest, rpc, api, metrics, postgres = free_ports(8)
    settings = Settings(
        data_dir=data_dir,
        kafka_port=kafka,
        redis_port=redis,
        mlflow_port=mlflow,
        flink_rest_port=rest,
        flink_rpc_port=rpc,
        api_port=api,
        worker_metrics_port=metrics,
        postgres_port=postgres,
        flink_parallelism=flink_parallelism,
        models=models,
        label_check_s=LABEL_CHECK_S,
        redis_timeout_ms=REDIS_TIMEOUT_MS,
    )
    stack = Stack(settings, tied=True)
    try:
        yield Services(stack.settings, stack)
    finally:
        _end(stack)
        if keep_logs():
            print(f"\na test failed: the services' logs are in {stack.layout.logs}")
            for path in set(data_dir.iterdir()) - {stack.layout.logs}:
                shutil.rmtree(path, ignore_errors=True)
        else:
            shutil.rmtree(data_dir, ignore_errors=True)


def _end(stack: Stack) -> None:
    """Kill every process of a stack; to stop them in their order takes seconds."""
    try:
        supervisor = int(stack.layout.supervisor_pid.read_text())
    except FileNotFoundError:
        supervisor = 0
    # First, so that it starts nothing again; the number may be another process's by now.
    if supervisor in processes.of_stack(stack.layout.data_dir):
        os.kill(supervisor, signal.SIGKILL)
    stack.down()


@contextmanager
def kafka_container(settings: Settings) -> Iterator[Services]:
    """A Kafka broker in a container; like the local one it creates no topic by itself."""
    from testcontainers.community.kafka import KafkaContainer  # only where an engine answers

    container = KafkaContainer(KAFKA_IMAGE).with_kraft()
    container.with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
    with container:
        address = container.get_bootstrap_server()
        yield Services(_copy(settings, kafka_bootstrap=address), None)


@contextmanager
def redis_container(settings: Settings) -> Iterator[Services]:
    """A Redis in a container."""
    from testcontainers.community.redis import RedisContainer  # only where an engine answers

    with RedisContainer(REDIS_IMAGE) as container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(container.port)
        yield Services(_copy(settings, redis_url=f"redis://{host}:{port}/0"), None)


def chosen_by_environment() -> bool:
    """`wants_containers` for this process."""
    return wants_containers(os.environ.get("WEIR_TEST_SERVICES"), container_engine_answers)


def _copy(settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update=changes)
