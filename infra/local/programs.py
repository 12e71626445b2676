"""The list of what runs: each program's command, environment, ports and needs.

Pure: settings and paths in, a table out. `configuration.py` turns the table into a supervisord
configuration, `stack.py` starts it.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.layout import Layout
from schemas.settings import Settings
from schemas.topics import SCORER_GROUP

STACK_VARIABLE = "WEIR_STACK"
"""Environment variable that marks every process of a stack with the stack's data directory."""

STORES, ENGINES, OURS = range(3)
"""Stages: what keeps data, what runs our code, our code."""

JVM_PROGRAMS = ("kafka", "jobmanager", "taskmanager")
"""Programs whose command is ``java`` itself."""

# The client submits a job and ends, the JobManager does little after its start: the quick compiler
# alone makes both cheaper.
CLIENT_OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
JOB_MANAGER_OPTIONS = ("-Xms256m", "-Xmx640m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# Less inlining halves what the compiler has to do in the minute after a start, when it competes
# with the events for the processors; warm, the TaskManager is as fast and the broker takes some 10
# to 20 % more for a request (docs/benchmarks/history.md).
LESS_INLINING = ("-XX:FreqInlineSize=100", "-XX:InlineSmallCode=1000", "-XX:MaxInlineLevel=6")
TASK_MANAGER_OPTIONS = ("-XX:+UseG1GC", *LESS_INLINING)
KAFKA_OPTIONS = (
    *("-Xms256m", "-Xmx512m", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError"),
    *LESS_INLINING,
)

TASK_HEAP_MIB = 832
FRAMEWORK_HEAP_MIB = 128
FRAMEWORK_DIRECT_MIB = 128
TASK_DIRECT_MIB = 128
NETWORK_MIB = 64
JVM_OVERHEAD_MIB = 192
MANAGED_MIB = 128
"""What RocksDB keeps in memory, and what batch jobs sort in; Python needs none of it."""
TASK_MANAGER_HEAP_MIB = FRAMEWORK_HEAP_MIB + TASK_HEAP_MIB
TASK_MANAGER_DIRECT_MIB = FRAMEWORK_DIRECT_MIB + TASK_DIRECT_MIB + NETWORK_MIB
TASK_MANAGER_METASPACE_MIB = 256


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
        stage: ``STORES`` and ``ENGINES`` start at once; ``OURS`` when the topics exist. Stopped in
            the reverse order, stage by stage, so that nothing loses what it works on.
        stop_wait_s: how long it may take to stop before it is killed.
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
    )


def flink_environment(layout: Layout) -> dict[str, str]:
    """What JobManager, TaskManager and a PyFlink client need to find each other's files.

    ``PYTHONPATH`` has to name the environment's packages: the Python inside the JVM (PEMJA) does
    not know that it belongs to a virtual environment. ``PATH`` starts with the environment, because
    PEMJA asks the ``python`` it finds there for the library to load.
    """
    return {
        "FLINK_HOME": str(layout.flink_home),
        "FLINK_LIB_DIR": str(layout.flink_lib),
        "FLINK_OPT_DIR": str(layout.flink_home / "opt"),
        "FLINK_PLUGINS_DIR": str(layout.flink_home / "plugins"),
        "FLINK_CONF_DIR": str(layout.flink_conf),
        "FLINK_LOG_DIR": str(layout.logs),
        "PATH": f"{layout.streams_python.parent}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": f"{layout.streams_site_packages}:{layout.repo}",
    }


def flink_class_path(layout: Layout) -> str:
    """All jars of ``flink_lib``, sorted, Flink itself last: the order of Flink's own scripts."""
    jars = sorted(layout.flink_lib.glob("*.jar"), key=lambda jar: ("flink-dist" in jar.name, jar))
    return ":".join(str(jar) for jar in jars)


def shipped_java_options(layout: Layout) -> str:
    """The ``env.java.opts.all`` line of the configuration that ships with Flink.

    Raises:
        FileNotFoundError: Flink is not installed.
        ValueError: the shipped file no longer has that line.
    """
    shipped = layout.flink_home / "conf" / "config.yaml"
    found = re.search(r"^ +all: (--add-exports.*)$", shipped.read_text(encoding="utf-8"), re.M)
    if not found:
        raise ValueError(f"{shipped} has no env.java.opts.all line with the Java 17 openings")
    return found[1]


def controller_port(settings: Settings) -> Port:
    """The port of the KRaft controller inside the broker: the one after the broker's."""
    return Port(settings.kafka_port + 1, "WEIR_KAFKA_PORT + 1, the KRaft controller")


def java() -> str:
    """The ``java`` to run: of ``JAVA_HOME`` if set, else the first on the path."""
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin/java" if home else shutil.which("java") or "java"


def redis_server(layout: Layout) -> str:
    """The ``redis-server`` to run: the system's, else the link that `make setup` made."""
    return shutil.which("redis-server") or str(layout.repo / ".tools" / "bin" / "redis-server")


def kafka_java(layout: Layout) -> tuple[str, ...]:
    """The start of every command that runs a class of the Kafka distribution."""
    log_config = layout.run / "kafka-log4j2.properties"
    return (java(), f"-Dlog4j2.configurationFile={log_config}", "-cp", f"{layout.kafka_libs}/*")


def _kafka(settings: Settings, layout: Layout) -> Program:
    command, *arguments = kafka_java(layout)
    options = (*KAFKA_OPTIONS, *_archived_classes(layout, "kafka"))
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
    archived = _archived_classes(layout, "jobmanager")
    rest = settings.flink_rest_port
    return Program(
        name="jobmanager",
        command=(
            *_flink_java(layout, scratch, *JOB_MANAGER_OPTIONS, *archived),
            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            *_flink_arguments(layout, scratch),
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
    archived = _archived_classes(layout, "taskmanager")
    memory = (
        f"-Xms{TASK_MANAGER_HEAP_MIB}m",
        f"-Xmx{TASK_MANAGER_HEAP_MIB}m",
        f"-XX:MaxDirectMemorySize={TASK_MANAGER_DIRECT_MIB}m",
        f"-XX:MaxMetaspaceSize={TASK_MANAGER_METASPACE_MIB}m",
    )
    return Program(
        name="taskmanager",
        command=(
            *_flink_java(layout, scratch, *memory, *TASK_MANAGER_OPTIONS, *archived),
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            *_flink_arguments(layout, scratch),
        ),
        ready=f"flink=http://127.0.0.1:{settings.flink_rest_port}",
        clean=(scratch,),
        environment=flink_environment(layout),
    )


def class_archive(layout: Layout, program: str) -> Path:
    """Where the classes that a JVM program loads are kept; see `class_archives.py`."""
    return layout.class_archives / f"{program}.jsa"


def _archived_classes(layout: Layout, program: str) -> tuple[str, ...]:
    archive = class_archive(layout, program)
    return (f"-XX:SharedArchiveFile={archive}",) if archive.exists() else ()


def _flink_java(layout: Layout, scratch: Path, *options: str) -> tuple[str, ...]:
    """``java`` with Flink's class path, as its start scripts would call it.

    The scripts themselves start two more JVMs to compute the memory sizes that are fixed here: ten
    seconds on a busy machine, at every restart.
    """
    return (
        java(),
        *options,
        *shipped_java_options(layout).split(),
        f"-Djava.io.tmpdir={scratch}",
        f"-Dlog4j.configurationFile=file:{layout.flink_conf / 'log4j-console.properties'}",
        *("-cp", flink_class_path(layout)),
    )


def _flink_arguments(layout: Layout, scratch: Path) -> tuple[str, ...]:
    return ("--configDir", str(layout.flink_conf), "-D", f"io.tmp.dirs={scratch}")


def _velocity_job(settings: Settings, layout: Layout) -> Program:
    scratch = layout.tmp / "client"
    rest = f"http://127.0.0.1:{settings.flink_rest_port}"
    return Program(
        name="velocity-job",
        command=(str(layout.streams_python), "-m", "streams.velocity.keep_running"),
        ready=f"job={rest}",
        needs=(f"kafka=127.0.0.1:{settings.kafka_port}", f"flink={rest}"),
        clean=(scratch,),
        environment={
            **flink_environment(layout),
            "TMPDIR": str(scratch),
            # PyFlink's client reads no other option of its own for the JVM it starts.
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
