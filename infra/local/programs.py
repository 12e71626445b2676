"""The programs of a stack: command, environment, ports and needs of each.

Takes settings and paths and gives a table; starts nothing. `configuration.py` writes the table as a
configuration of supervisord, `stack.py` starts the programs.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.jvm import (
    CLIENT_OPTIONS,
    JOB_MANAGER_OPTIONS,
    KAFKA_OPTIONS,
    TASK_MANAGER_DIRECT_MIB,
    TASK_MANAGER_HEAP_MIB,
    TASK_MANAGER_METASPACE_MIB,
    TASK_MANAGER_OPTIONS,
    archived_classes,
    flink_arguments,
    flink_environment,
    flink_java,
    kafka_java,
    shipped_java_options,
)
from infra.local.layout import Layout
from schemas.settings import Settings
from schemas.topics import SCORER_GROUP

VELOCITY_JOB = "velocity-job"
"""Name of the program that keeps the velocity job running on Flink."""

STACK_VARIABLE = "WEIR_STACK"
"""Environment variable that marks every process of a stack with the stack's data directory."""

STORES, ENGINES, OURS = range(3)
"""Stages of a start: programs that keep data, programs that run our code, our own programs."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port on which a program listens, and the setting that chooses it."""

    number: int
    setting: str


@dataclass(frozen=True, slots=True)
class Program:
    """One program under the supervisor.

    Args:
        name: what `weir status` shows.
        command: the arguments.
        ports: ports on which it listens.
        ready: target (see `clients.probes.PROBES`) that answers when the program is up; empty if
            the program serves no requests.
        needs: targets that must answer before the command is started.
        clean: directories that are emptied before each start.
        environment: added to the environment of the supervisor.
        stage: ``STORES`` and ``ENGINES`` start at once, ``OURS`` when the topics exist. Stages are
            stopped in the reverse order, so that no program loses a service that it uses.
        stop_wait_s: time to stop, in s, before the program is killed.
        stop_signal: name of the signal that asks it to stop, without "SIG".
    """

    name: str
    command: tuple[str, ...]
    ports: tuple[Port, ...] = ()
    ready: str = ""
    needs: tuple[str, ...] = ()
    clean: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    stage: int = ENGINES
    stop_wait_s: int = 15
    stop_signal: str = "TERM"


def programs(settings: Settings, layout: Layout) -> tuple[Program, ...]:
    """Every program of the stack, in the order in which they are started."""
    return (
        _kafka(settings, layout),
        _redis(settings, layout),
        _mlflow(settings, layout),
        _job_manager(settings, layout),
        _task_manager(settings, layout),
        _velocity_job(settings, layout),
        _scorer(settings, layout),
        _api(settings, layout),
        _archiver(settings, layout),
        _materializer(layout),
        _label_checker(settings, layout),
        _rollout_controller(settings, layout),
    )


def controller_port(settings: Settings) -> Port:
    """The port of the KRaft controller inside the broker: the one after the broker's."""
    return Port(settings.kafka_port + 1, "WEIR_KAFKA_PORT + 1, the KRaft controller")


def redis_server(layout: Layout) -> str:
    """The ``redis-server`` to run: that of the system, else the link that `make setup` made."""
    return shutil.which("redis-server") or str(layout.repo / ".tools" / "bin" / "redis-server")


def _kafka(settings: Settings, layout: Layout) -> Program:
    command, *arguments = kafka_java(layout)
    options = (*KAFKA_OPTIONS, *archived_classes(layout, "kafka"))
    properties = str(layout.run / "server.properties")
    return Program(
        name="kafka",
        command=(command, *options, *arguments, "kafka.Kafka", properties),
        ports=(Port(settings.kafka_port, "WEIR_KAFKA_PORT"), controller_port(settings)),
        ready=f"kafka=127.0.0.1:{settings.kafka_port}",
        stage=STORES,
    )


def _redis(settings: Settings, layout: Layout) -> Program:
    return Program(
        name="redis",
        command=(redis_server(layout), str(layout.run / "redis.conf")),
        ports=(Port(settings.redis_port, "WEIR_REDIS_PORT"),),
        ready=f"redis=127.0.0.1:{settings.redis_port}",
        stage=STORES,
    )


def _mlflow(settings: Settings, layout: Layout) -> Program:
    port = settings.mlflow_port
    return Program(
        name="mlflow",
        command=(
            *(str(layout.python), "-m", "infra.local.mlflow_server"),
            *(str(layout.mlflow_data), str(port)),
        ),
        ports=(Port(port, "WEIR_MLFLOW_PORT"),),
        ready=f"http=http://127.0.0.1:{port}/health",
    )


def _job_manager(settings: Settings, layout: Layout) -> Program:
    scratch = layout.tmp / "jobmanager"
    archived = archived_classes(layout, "jobmanager")
    rest = settings.flink_rest_port
    return Program(
        name="jobmanager",
        command=(
            *flink_java(layout, scratch, *JOB_MANAGER_OPTIONS, *archived),
            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            *flink_arguments(layout, scratch),
        ),
        ports=(
            Port(rest, "WEIR_FLINK_REST_PORT"),
            Port(settings.flink_rpc_port, "WEIR_FLINK_RPC_PORT"),
        ),
        ready=f"http=http://127.0.0.1:{rest}/overview",
        clean=(scratch,),
        environment=flink_environment(layout),
    )


def _task_manager(settings: Settings, layout: Layout) -> Program:
    scratch = layout.tmp / "taskmanager"
    archived = archived_classes(layout, "taskmanager")
    memory = (
        f"-Xms{TASK_MANAGER_HEAP_MIB}m",
        f"-Xmx{TASK_MANAGER_HEAP_MIB}m",
        f"-XX:MaxDirectMemorySize={TASK_MANAGER_DIRECT_MIB}m",
        f"-XX:MaxMetaspaceSize={TASK_MANAGER_METASPACE_MIB}m",
    )
    return Program(
        name="taskmanager",
        command=(
            *flink_java(layout, scratch, *memory, *TASK_MANAGER_OPTIONS, *archived),
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            *flink_arguments(layout, scratch),
        ),
        ready=f"flink=http://127.0.0.1:{settings.flink_rest_port}",
        clean=(scratch,),
        environment=flink_environment(layout),
    )


def _velocity_job(settings: Settings, layout: Layout) -> Program:
    scratch = layout.tmp / "client"
    rest = f"http://127.0.0.1:{settings.flink_rest_port}"
    return Program(
        name=VELOCITY_JOB,
        command=(str(layout.streams_python), "-m", "streams.velocity.keep_running"),
        ready=f"job={rest}",
        needs=(f"kafka=127.0.0.1:{settings.kafka_port}", f"flink={rest}"),
        clean=(scratch,),
        environment={
            **flink_environment(layout),
            "TMPDIR": str(scratch),
            # The only variable from which PyFlink's client takes options of the JVM that it starts.
            "FLINK_ENV_JAVA_OPTS": " ".join(
                (shipped_java_options(layout), f"-Djava.io.tmpdir={scratch}", *CLIENT_OPTIONS)
            ),
        },
        stage=OURS,
    )


def _scorer(settings: Settings, layout: Layout) -> Program:
    metrics = settings.worker_metrics_port
    return Program(
        name="scorer",
        command=(str(layout.python), "-m", "scoring.worker"),
        ports=(Port(metrics, "WEIR_WORKER_METRICS_PORT"),) if metrics else (),
        ready=f"group={SCORER_GROUP}@127.0.0.1:{settings.kafka_port}",
        needs=(f"kafka=127.0.0.1:{settings.kafka_port}",),
        stage=OURS,
    )


def _api(settings: Settings, layout: Layout) -> Program:
    return Program(
        name="api",
        command=(str(layout.python), "-m", "scoring.http"),
        ports=(Port(settings.api_port, "WEIR_API_PORT"),),
        ready=f"http=http://{settings.api_host}:{settings.api_port}/health",
        stage=OURS,
    )


def _archiver(settings: Settings, layout: Layout) -> Program:
    return Program(
        name="archiver",
        command=(str(layout.python), "-m", "training.archive.archiver"),
        needs=(f"kafka=127.0.0.1:{settings.kafka_port}",),
        stage=OURS,
    )


def _materializer(layout: Layout) -> Program:
    return Program(
        name="materializer",
        command=(str(layout.python), "-m", "training.datasets.materializer"),
        stage=OURS,
    )


def _label_checker(settings: Settings, layout: Layout) -> Program:
    return Program(
        name="label-checker",
        command=(str(layout.python), "-m", "operations.labels.checker"),
        needs=(f"kafka=127.0.0.1:{settings.kafka_port}",),
        stage=OURS,
    )


def _rollout_controller(settings: Settings, layout: Layout) -> Program:
    metrics = settings.rollout_metrics_port
    return Program(
        name="rollout-controller",
        command=(str(layout.python), "-m", "operations.rollouts.controller"),
        ports=(Port(metrics, "WEIR_ROLLOUT_METRICS_PORT"),) if metrics else (),
        needs=(f"kafka=127.0.0.1:{settings.kafka_port}",),
        stage=OURS,
    )
