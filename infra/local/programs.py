"""The list of what runs: each program's command, environment, ports and needs.

Pure: settings and paths in, a table out. `configuration.py` turns the table into a supervisord
configuration, `stack.py` starts it.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.layout import Layout
from schemas.settings import Settings

STACK_VARIABLE = "WEIR_STACK"
"""Environment variable that marks every process of a stack with the stack's data directory."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port a program listens on, and the setting that chooses it."""

    number: int
    setting: str


@dataclass(frozen=True, slots=True)
class Program:
    """One program under the supervisor.

    Args:
        name: what `weir status` shows.
        command: argument vector.
        ports: what it listens on.
        ready: target (see `readiness.PROBES`) that answers when it is up; empty if running is all
            that can be asked.
        needs: targets that must answer before the command is started.
        clean: directories emptied before each start.
        environment: added to that of the supervisor.
        first: started before topics exist; the others wait until they do.
        stop_wait_s: how long it may take to stop before it is killed.
    """

    name: str
    command: tuple[str, ...]
    ports: tuple[Port, ...] = ()
    ready: str = ""
    needs: tuple[str, ...] = ()
    clean: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    first: bool = True
    stop_wait_s: int = 15


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
    )


def flink_environment(layout: Layout) -> dict[str, str]:
    """What JobManager, TaskManager and a PyFlink client need to find each other's files.

    ``PYTHONPATH`` has to name the environment's packages: the Python inside the JVM (PEMJA) does
    not know that it belongs to a virtual environment.
    """
    return {
        "FLINK_HOME": str(layout.flink_home),
        "FLINK_LIB_DIR": str(layout.flink_lib),
        "FLINK_CONF_DIR": str(layout.flink_conf),
        "FLINK_LOG_DIR": str(layout.logs),
        "FLINK_PID_DIR": str(layout.run),
        "PYTHONPATH": f"{layout.streams_site_packages}:{layout.repo}",
    }


def controller_port(settings: Settings) -> Port:
    """The port of the KRaft controller inside the broker: the one after the broker's."""
    return Port(settings.kafka_port + 1, "WEIR_KAFKA_PORT + 1, the KRaft controller")


def java() -> str:
    """The ``java`` to run: of ``JAVA_HOME`` if set, else the first on the path."""
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin/java" if home else shutil.which("java") or "java"


def kafka_java(layout: Layout) -> tuple[str, ...]:
    """The start of every command that runs a class of the Kafka distribution."""
    log_config = layout.run / "kafka-log4j2.properties"
    return (java(), f"-Dlog4j2.configurationFile={log_config}", "-cp", f"{layout.kafka_libs}/*")


def _kafka(settings: Settings, layout: Layout) -> Program:
    command, *arguments = kafka_java(layout)
    heap = ("-Xms256m", "-Xmx512m", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError")
    return Program(
        name="kafka",
        command=(command, *heap, *arguments, "kafka.Kafka", str(layout.run / "server.properties")),
        ports=(Port(settings.kafka_port, "WEIR_KAFKA_PORT"), controller_port(settings)),
        ready=f"kafka=127.0.0.1:{settings.kafka_port}",
    )


def _redis(settings: Settings, layout: Layout) -> Program:
    return Program(
        name="redis",
        command=(shutil.which("redis-server") or "redis-server", str(layout.run / "redis.conf")),
        ports=(Port(settings.redis_port, "WEIR_REDIS_PORT"),),
        ready=f"redis=127.0.0.1:{settings.redis_port}",
    )


def _mlflow(settings: Settings, layout: Layout) -> Program:
    port = settings.mlflow_port
    return Program(
        name="mlflow",
        command=(
            *(str(layout.python), "-m", "mlflow", "server"),
            *("--backend-store-uri", f"sqlite:///{layout.mlflow_data / 'mlflow.db'}"),
            *("--artifacts-destination", str(layout.mlflow_data / "artifacts")),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--allowed-hosts", f"127.0.0.1:{port},localhost:{port}"),
        ),
        ports=(Port(port, "WEIR_MLFLOW_PORT"),),
        ready=f"http=http://127.0.0.1:{port}/health",
        environment={
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
    )


def _job_manager(settings: Settings, layout: Layout) -> Program:
    scratch = layout.tmp / "jobmanager"
    rest = settings.flink_rest_port
    return Program(
        name="jobmanager",
        command=(
            *(str(layout.flink_home / "bin" / "jobmanager.sh"), "start-foreground"),
            *("-D", f"io.tmp.dirs={scratch}"),
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
    return Program(
        name="taskmanager",
        command=(
            *(str(layout.flink_home / "bin" / "taskmanager.sh"), "start-foreground"),
            *("-D", f"io.tmp.dirs={scratch}"),
        ),
        ready=f"flink=http://127.0.0.1:{settings.flink_rest_port}",
        clean=(scratch,),
        environment=flink_environment(layout),
    )


def _velocity_job(settings: Settings, layout: Layout) -> Program:
    scratch = layout.tmp / "client"
    rest = f"http://127.0.0.1:{settings.flink_rest_port}"
    return Program(
        name="velocity-job",
        command=(str(layout.streams_python), "-m", "streams.submit"),
        ready=f"job={rest}",
        needs=(f"kafka=127.0.0.1:{settings.kafka_port}", f"flink={rest}"),
        clean=(scratch,),
        environment={**flink_environment(layout), "TMPDIR": str(scratch)},
        first=False,
    )


def _scorer(settings: Settings, layout: Layout) -> Program:
    return Program(
        name="scorer",
        command=(str(layout.python), "-m", "scoring.worker"),
        needs=(f"kafka=127.0.0.1:{settings.kafka_port}",),
        first=False,
    )


def _api(settings: Settings, layout: Layout) -> Program:
    return Program(
        name="api",
        command=(str(layout.python), "-m", "scoring.api"),
        ports=(Port(settings.api_port, "WEIR_API_PORT"),),
        ready=f"http=http://{settings.api_host}:{settings.api_port}/health",
        first=False,
    )
