"""Writes the configuration files of one stack, from `templates/` and the table of programs.

All files are written into `run/` of the data directory at every start. To change something, edit
the templates or the settings, not these files.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from infra.local.control import GROUP
from infra.local.errors import DataDirError
from infra.local.jvm import (
    FRAMEWORK_DIRECT_MIB,
    FRAMEWORK_HEAP_MIB,
    JVM_OVERHEAD_MIB,
    MANAGED_MIB,
    NETWORK_MIB,
    TASK_DIRECT_MIB,
    TASK_HEAP_MIB,
    TASK_MANAGER_METASPACE_MIB,
    shipped_java_options,
)
from infra.local.layout import UNIX_SOCKET_PATH_BYTES_MAX, Layout
from infra.local.programs import Program, controller_port
from schemas.settings import Settings

TEMPLATES = Path(__file__).parent / "templates"

LOG_BYTES_MAX = 10 * 1024 * 1024
LOG_FILES_KEPT = 3
STAYS_UP_S = 3
"""A program that ends sooner has failed to start; supervisord waits before it tries again."""
START_RETRIES = 20
"""supervisord waits 1, 2, 3... s between failed starts and gives up after 20, in 3.5 minutes."""


def render(settings: Settings, layout: Layout, table: Sequence[Program]) -> None:
    """Create the stack's directories and write every configuration file.

    Raises:
        DataDirError: the path of the data directory is too long for a socket, or has a character
            that one of the configuration formats does not allow.
        FileNotFoundError: the Flink distribution is not installed.
    """
    check_data_dir(layout)
    for directory in _directories(layout):
        directory.mkdir(parents=True, exist_ok=True)
    _write(layout.run / "server.properties", "server.properties", kafka_values(settings, layout))
    _write(layout.run / "kafka-log4j2.properties", "kafka-log4j2.properties", {})
    _write(layout.run / "redis.conf", "redis.conf", redis_values(settings, layout))
    _write(layout.flink_conf / "config.yaml", "flink-config.yaml", flink_values(settings, layout))
    for name in ("log4j-console.properties", "log4j-cli.properties"):
        _write(layout.flink_conf / name, "flink-log4j.properties", {})
    layout.supervisor_conf.write_text(supervisor_configuration(layout, table), encoding="utf-8")


def check_data_dir(layout: Layout) -> None:
    """Refuse a data directory with an unusable path.

    Raises:
        DataDirError: see `render`.
    """
    socket_path_bytes = len(os.fsencode(layout.supervisor_socket))
    if socket_path_bytes > UNIX_SOCKET_PATH_BYTES_MAX:
        raise DataDirError(
            f"WEIR_DATA_DIR {str(layout.data_dir)!r} is too long: the supervisor's socket in it "
            f"has {socket_path_bytes} bytes, limit {UNIX_SOCKET_PATH_BYTES_MAX}; "
            "choose a shorter path"
        )
    for path in (layout.data_dir, layout.repo):
        if re.search(r"[^\w./+@-]", str(path), re.ASCII):
            raise DataDirError(
                f"{str(path)!r} has a character besides ASCII letters, digits and . _ / + @ -; "
                "class paths and supervisor's configuration do not allow it: choose another path"
            )


def kafka_values(settings: Settings, layout: Layout) -> dict[str, str]:
    """Values of `templates/server.properties`."""
    return {
        "broker_port": str(settings.kafka_port),
        "controller_port": str(controller_port(settings).number),
        "log_dir": str(layout.kafka_data),
    }


def redis_values(settings: Settings, layout: Layout) -> dict[str, str]:
    """Values of `templates/redis.conf`."""
    return {"port": str(settings.redis_port), "data_dir": str(layout.redis_data)}


def flink_values(settings: Settings, layout: Layout) -> dict[str, str]:
    """Values of `templates/flink-config.yaml`."""
    return {
        "java_module_options": shipped_java_options(layout),
        "rpc_port": str(settings.flink_rpc_port),
        "rest_port": str(settings.flink_rest_port),
        "slots": str(settings.flink_parallelism),
        "checkpoint_interval_ms": str(settings.checkpoint_interval_ms),
        "checkpoints_uri": layout.checkpoints.as_uri(),
        "savepoints_uri": layout.savepoints.as_uri(),
        "python": str(layout.streams_python),
        "framework_heap": f"{FRAMEWORK_HEAP_MIB}m",
        "framework_direct": f"{FRAMEWORK_DIRECT_MIB}m",
        "task_heap": f"{TASK_HEAP_MIB}m",
        "task_direct": f"{TASK_DIRECT_MIB}m",
        "network": f"{NETWORK_MIB}m",
        "managed": f"{MANAGED_MIB}m",
        "overhead": f"{JVM_OVERHEAD_MIB}m",
        "metaspace": f"{TASK_MANAGER_METASPACE_MIB}m",
        "jobmanager_tmp": str(layout.tmp / "jobmanager"),
        "jobmanager_log": str(layout.log("jobmanager")),
        "taskmanager_log": str(layout.log("taskmanager")),
    }


def supervisor_configuration(layout: Layout, table: Sequence[Program]) -> str:
    """The text of supervisord's configuration, with one section for each program."""
    values = {
        "socket": str(layout.supervisor_socket),
        "pid_file": str(layout.supervisor_pid),
        "log_file": str(layout.log("supervisord")),
        "log_bytes_max": str(LOG_BYTES_MAX),
        "log_files_kept": str(LOG_FILES_KEPT),
        "repo": str(layout.repo),
        "group": GROUP,
        "programs": ",".join(program.name for program in table),
        # Only for root: supervisord warns if it runs as root and no user is configured.
        "user": "user=root" if os.geteuid() == 0 else "",
    }
    head = Template((TEMPLATES / "supervisord.conf").read_text(encoding="utf-8")).substitute(values)
    sections = (
        program_section(layout, program, priority=index) for index, program in enumerate(table)
    )
    return "\n".join([head, *sections])


def program_section(layout: Layout, program: Program, *, priority: int) -> str:
    """One ``[program:...]`` section."""
    environment = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    lines = {
        "command": shlex.join(launch_command(layout, program)),
        "directory": str(layout.repo),
        "environment": environment,
        "priority": priority,
        "autostart": "false",
        "autorestart": "true",
        "startsecs": STAYS_UP_S,
        "startretries": START_RETRIES,
        "stopwaitsecs": program.stop_wait_s,
        "stopsignal": program.stop_signal,
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(layout.log(program.name)),
        "stdout_logfile_maxbytes": LOG_BYTES_MAX,
        "stdout_logfile_backups": LOG_FILES_KEPT,
    }
    body = "\n".join(f"{name}={_escape(value)}" for name, value in lines.items() if value != "")
    return f"[program:{program.name}]\n{body}\n"


def launch_command(layout: Layout, program: Program) -> tuple[str, ...]:
    """The program's command, preceded by the launcher that waits for the program's needs."""
    waits = (part for target in program.needs for part in ("--wait", target))
    cleans = (part for directory in program.clean for part in ("--clean", str(directory)))
    launcher = (str(layout.python), "-m", "infra.local.launch")
    return (*launcher, *waits, *cleans, "--", *program.command)


def _escape(value: object) -> str:
    return str(value).replace("%", "%%")


def _write(path: Path, template: str, values: Mapping[str, str]) -> None:
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    path.write_text(Template(text).substitute(values) if values else text, encoding="utf-8")


def _directories(layout: Layout) -> tuple[Path, ...]:
    return (
        layout.run,
        layout.logs,
        layout.tmp,
        layout.flink_conf,
        layout.checkpoints,
        layout.savepoints,
        layout.kafka_data,
        layout.redis_data,
        layout.mlflow_data,
    )
