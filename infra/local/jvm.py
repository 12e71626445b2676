"""How the JVMs of a stack are started: options, memory, class paths.

Covers the Kafka broker, Flink's JobManager and TaskManager, and the client that submits a job.
Takes paths and gives arguments; starts nothing. `programs.py` builds the commands from these parts;
`configuration.py` writes the same memory sizes into Flink's configuration.
"""

import os
import re
import shutil
from pathlib import Path

from infra.local.layout import Layout

JVM_PROGRAMS = ("kafka", "jobmanager", "taskmanager")
"""Programs whose command is ``java`` itself."""

# The client submits a job and ends, and the JobManager does little after its start. The first-tier
# compiler alone makes both cheaper.
CLIENT_OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
JOB_MANAGER_OPTIONS = ("-Xms256m", "-Xmx640m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# Less inlining halves the work of the compiler in the minute after a start, when it competes with
# the events for the processors. After that the TaskManager is as fast as before, and the broker
# needs 10 to 20 % more time for a request (docs/benchmarks/history.md).
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
"""Memory of RocksDB, and of the sorts of batch jobs; Python uses none of it."""
TASK_MANAGER_HEAP_MIB = FRAMEWORK_HEAP_MIB + TASK_HEAP_MIB
TASK_MANAGER_DIRECT_MIB = FRAMEWORK_DIRECT_MIB + TASK_DIRECT_MIB + NETWORK_MIB
TASK_MANAGER_METASPACE_MIB = 256


def java() -> str:
    """The ``java`` to run: that of ``JAVA_HOME`` if set, else the first on the path."""
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin/java" if home else shutil.which("java") or "java"


def kafka_java(layout: Layout) -> tuple[str, ...]:
    """The start of every command that runs a class of the Kafka distribution."""
    log_config = layout.run / "kafka-log4j2.properties"
    return (java(), f"-Dlog4j2.configurationFile={log_config}", "-cp", f"{layout.kafka_libs}/*")


def flink_environment(layout: Layout) -> dict[str, str]:
    """The environment of JobManager, TaskManager and a PyFlink client.

    ``PYTHONPATH`` must name the packages of the environment, because the Python inside the JVM
    (PEMJA) does not know that it belongs to a virtual environment. ``PATH`` starts with the
    environment, because PEMJA asks the first ``python`` on it for the library to load.
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
    """All jars of ``flink_lib``, sorted, with Flink itself last, as Flink's own scripts do."""
    jars = sorted(layout.flink_lib.glob("*.jar"), key=lambda jar: ("flink-dist" in jar.name, jar))
    return ":".join(str(jar) for jar in jars)


def shipped_java_options(layout: Layout) -> str:
    """The ``env.java.opts.all`` line of the configuration that ships with Flink.

    Raises:
        FileNotFoundError: Flink is not installed.
        ValueError: the shipped file has no such line.
    """
    shipped = layout.flink_home / "conf" / "config.yaml"
    found = re.search(r"^ +all: (--add-exports.*)$", shipped.read_text(encoding="utf-8"), re.M)
    if not found:
        raise ValueError(f"{shipped} has no env.java.opts.all line with the Java 17 openings")
    return found[1]


def class_archive(layout: Layout, program: str) -> Path:
    """The file with the archived classes of a JVM program; see `class_archives.py`."""
    return layout.class_archives / f"{program}.jsa"


def archived_classes(layout: Layout, program: str) -> tuple[str, ...]:
    """The option that loads a program's archived classes; none if there is no archive."""
    archive = class_archive(layout, program)
    return (f"-XX:SharedArchiveFile={archive}",) if archive.exists() else ()


def flink_java(layout: Layout, scratch: Path, *options: str) -> tuple[str, ...]:
    """``java`` with Flink's class path, as Flink's start scripts would call it.

    The scripts are not used: they start two more JVMs to compute the memory sizes that are fixed
    here, which takes ten seconds on a busy machine at every restart.
    """
    return (
        java(),
        *options,
        *shipped_java_options(layout).split(),
        f"-Djava.io.tmpdir={scratch}",
        f"-Dlog4j.configurationFile=file:{layout.flink_conf / 'log4j-console.properties'}",
        *("-cp", flink_class_path(layout)),
    )


def flink_arguments(layout: Layout, scratch: Path) -> tuple[str, ...]:
    """The arguments of Flink's own processes: their configuration and scratch directory."""
    return ("--configDir", str(layout.flink_conf), "-D", f"io.tmp.dirs={scratch}")
