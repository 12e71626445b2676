"""`weir doctor`: checks what is installed, running and reachable, and says how to fix the rest.

Every check gives one `Check` and raises nothing, because it is meant for machines that are broken.
Starts and changes nothing.
"""

import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

from clients import probes
from clients.errors import KafkaUnreachableError
from infra.local import engine, processes
from infra.local.codecs import codecs_of_jars, codecs_of_python_clients
from infra.local.jvm import java
from infra.local.programs import redis_server
from infra.local.stack import ProgramStatus, Stack
from schemas.settings import Settings

COMMAND_TIMEOUT_S = 30.0
JAVA_VERSION_MIN = 17
KAFKA_JARS_MIN = 50
"""The broker needs about ninety jars; far fewer mean that the download was interrupted."""

PYTHON_WORKER_MARKS = ("pyflink-udf-runner", "pyflink.fn_execution")
"""Parts of the command lines of Python workers, which Flink starts only in process mode."""

_SETUP = "run `make setup`"
_RETENTION = (
    "see `weir logs archiver`; raise WEIR_TRANSACTIONS_RETENTION_MIB, or that of the topic: "
    "`weir down`, then `weir up`"
)
_FIRST_ROWS = (
    "raise WEIR_FEATURES_RETENTION_MIB, or lower WEIR_DECISION_TTL_S if repeats never come so late"
)
_FAILURES = (
    *(OSError, ValueError, LookupError, ImportError),
    *(subprocess.SubprocessError, zipfile.BadZipFile, KafkaUnreachableError),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Args:
        name: what was checked.
        detail: what was found.
        advice: how to fix it; empty if nothing is wrong.
    """

    name: str
    detail: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.advice


def examine(stack: Stack) -> list[Check]:
    """Run all checks: first the installation, then the running stack.

    Blocks: each program that does not answer costs up to a few seconds.
    """
    return [*_installed(stack), *_running(stack)]


def thread_mode(task_manager_pid: int, *, flink_conf: Path) -> Check:
    """Check that Flink runs our Python inside its JVM.

    For an operator that cannot run in threads, Flink falls back to process mode without a message.
    Then every task has Python workers below the TaskManager and is ten times slower.
    """
    name = "Flink thread mode"
    configuration = (flink_conf / "config.yaml").read_text(encoding="utf-8")
    if not re.search(r"^ +execution-mode: thread$", configuration, re.M):
        advice = "set python.execution-mode: thread, then `make down up`"
        return Check(name, "the configuration does not ask for it", advice)
    workers = python_workers(task_manager_pid)
    if workers:
        detail = f"{len(workers)} Python workers run beside the JVM: {workers[0][1][:80]}"
        return Check(name, detail, "an operator cannot run in thread mode; see its log")
    return Check(name, "configured, and no Python worker runs beside the JVM")


def python_workers(task_manager_pid: int) -> list[tuple[int, str]]:
    """Process id and command of every Python worker below a TaskManager; none in thread mode."""
    return [
        (pid, command)
        for pid, command in processes.children(task_manager_pid)
        if any(mark in command for mark in PYTHON_WORKER_MARKS)
    ]


def _installed(stack: Stack) -> Iterator[Check]:
    layout = stack.layout
    yield _check("services environment", _services_versions, _SETUP)
    yield _check("Flink environment", lambda: _flink_version(stack), _SETUP)
    pythons = (layout.python, layout.streams_python)
    yield _check("feature engine", partial(engine.installed_engine, *pythons), _SETUP)
    yield _check("services' Python", partial(engine.python_of_program, layout.python), _SETUP)
    yield _check("Flink's Python", partial(engine.python_of_flink, layout.streams_python), _SETUP)
    yield _check("Java", _java_version, f"install a JDK {JAVA_VERSION_MIN} or newer, or {_SETUP}")
    yield _check("Redis binary", lambda: _first_line(redis_server(layout), "--version"), _SETUP)
    yield _check("Kafka's jars", lambda: _kafka_jars(layout.kafka_libs), "run `make jars`")
    yield _check("Flink's jars", lambda: _flink_jars(layout.flink_lib), "run `make jars`")
    yield _check("codecs in Python", codecs_of_python_clients, _SETUP)
    for name, jars in (("Kafka", layout.kafka_libs), ("Flink", layout.flink_lib)):
        yield _check(f"codecs in {name}", partial(codecs_of_jars, jars), "run `make jars`")


def _running(stack: Stack) -> Iterator[Check]:
    if not stack.is_running():
        where = str(stack.layout.data_dir)
        yield Check("stack", f"nothing runs in {where}", "run `make up`")
        return
    statuses = {status.name: status for status in stack.status()}
    for status in statuses.values():
        yield _program(status)
    if statuses["jobmanager"].ready:
        yield _flink_overview(stack.settings.flink_rest_url)
    if statuses["redis"].ready:
        yield _online_state(stack)
    if statuses["kafka"].ready:
        bootstrap = stack.settings.kafka_bootstrap
        yield _check("lag", partial(_lags, bootstrap), "see `weir logs kafka`")
        yield _check("topics", partial(_topics, bootstrap), "set it back with kafka-configs.sh")
        yield _check("retention", partial(_archive_reach, stack.settings), _RETENTION)
        yield _check("first decisions", partial(_first_rows_reach, stack.settings), _FIRST_ROWS)
    if pid := statuses["taskmanager"].pid:
        yield thread_mode(pid, flink_conf=stack.layout.flink_conf)
        yield _check("loaded by Flink", partial(engine.loaded_by, pid), "run `make down up`")


def _program(status: ProgramStatus) -> Check:
    ports = ", ".join(str(port) for port in status.ports)
    detail = f"{status.state}, {status.description}" + (f", port {ports}" if ports else "")
    if status.ready:
        return Check(status.name, detail)
    if status.job is not None and not status.job.is_well:
        detail += f"; {status.job}"
    elif status.state == "RUNNING":
        detail += ", but it does not answer"
    return Check(status.name, detail, f"see {status.log}; `make down up` starts again")


def _flink_overview(rest_url: str) -> Check:
    overview = probes.get_json(f"{rest_url}/overview") or {}
    slots, managers = overview.get("slots-total", 0), overview.get("taskmanagers", 0)
    detail = f"{managers} TaskManagers, {slots} slots"
    return Check("Flink", detail, "" if managers else "see `weir logs taskmanager`")


def _online_state(stack: Stack) -> Check:
    # Imported here, because the client library takes a while to import.
    from infra.local.online_state import read_online_state  # noqa: PLC0415

    name = "online state"
    try:
        found = read_online_state(stack.settings)
    except OSError as error:
        return Check(name, str(error), "see `weir logs redis`")
    if found.may_evict_states:
        advice = "set maxmemory-policy to noeviction or volatile-ttl, then `weir online rebuild`"
        return Check(name, f"{found}; Redis may evict states", advice)
    return Check(name, str(found))


def _lags(bootstrap: str) -> str:
    # Imported here, because the client library takes half a second to import.
    from infra.local.lag import read_lags  # noqa: PLC0415

    return "; ".join(map(str, read_lags(bootstrap)))


def _archive_reach(settings: Settings) -> str:
    # Imported here for the same reason.
    from infra.local.retention import archive_reach  # noqa: PLC0415

    return archive_reach(settings)


def _first_rows_reach(settings: Settings) -> str:
    # Imported here for the same reason.
    from infra.local.retention import first_rows_reach  # noqa: PLC0415
    from scoring.wiring import wall_clock_ms  # noqa: PLC0415

    return first_rows_reach(settings, now_ms=wall_clock_ms())


def _topics(bootstrap: str) -> str:
    # Imported here, because the client library takes half a second to import.
    from infra.local.topic_settings import settings_of_topics  # noqa: PLC0415

    return settings_of_topics(bootstrap)


def _check(name: str, look: Callable[[], str], advice: str) -> Check:
    """The result of ``look``; if it raises, the error is what is wrong."""
    try:
        return Check(name, look())
    except _FAILURES as error:
        return Check(name, f"{type(error).__name__}: {error}", advice)


def _services_versions() -> str:
    names = ("kafka-python", "faust-streaming", "mlflow", "scikit-learn", "fastapi")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)


def _flink_version(stack: Stack) -> str:
    script = "from importlib.metadata import version; print(version('apache-flink'))"
    return f"apache-flink {_first_line(str(stack.layout.streams_python), '-c', script)}"


def _java_version() -> str:
    line = _first_line(java(), "-version")
    found = re.search(r'"(\d+)', line)
    if not found or int(found[1]) < JAVA_VERSION_MIN:
        raise ValueError(f"{line}; Flink and Kafka need Java {JAVA_VERSION_MIN} or newer")
    return line


def _kafka_jars(libs: Path) -> str:
    jars = list(libs.glob("*.jar"))
    broker = _one(libs, "kafka_2.13-*.jar")
    if len(jars) < KAFKA_JARS_MIN:
        raise FileNotFoundError(f"only {len(jars)} jars in {libs}")
    return f"{broker}, {len(jars)} jars in all"


def _flink_jars(flink_lib: Path) -> str:
    wanted = ("flink-dist-*.jar", "flink-python-*.jar", "flink-sql-connector-kafka-*.jar")
    return ", ".join(_one(flink_lib, name) for name in (*wanted, "weir-kafka-glue.jar"))


def _one(directory: Path, pattern: str) -> str:
    found = sorted(directory.glob(pattern))
    if len(found) != 1:
        raise FileNotFoundError(f"{len(found)} files match {directory / pattern}, one is needed")
    return found[0].name


def _first_line(*command: str) -> str:
    if not shutil.which(command[0]):
        raise FileNotFoundError(f"{command[0]} is not installed")
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        env={**os.environ, "LC_ALL": "C"},
    )
    return next(iter((done.stdout + done.stderr).splitlines()), "")
