"""The programs that a stack has if asked for: ``weir up --with NAME``.

PostgreSQL for the predictions of batch scoring, and a TaskManager for batch jobs, so that they take
neither slots nor the interpreter of the velocity job. `programs.py` has the others.
"""

import os
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Final

from infra.local.errors import StackError
from infra.local.jvm import (
    TASK_MANAGER_DIRECT_MIB,
    TASK_MANAGER_HEAP_MIB,
    TASK_MANAGER_METASPACE_MIB,
    TASK_MANAGER_OPTIONS,
    archived_classes,
    flink_arguments,
    flink_environment,
    flink_java,
)
from infra.local.layout import Layout
from infra.local.programs import STORES, Port, Program
from schemas.settings import Settings

POSTGRES: Final = "postgres"
BATCH: Final = "batch"
"""Name of the TaskManager for batch jobs."""

_ROLE: Final = "weir"
"""The role of PostgreSQL that owns the database, and the name of the database."""
_USER: Final = "postgres"
"""The system user that runs PostgreSQL if root starts the stack; PostgreSQL refuses root."""
_POSTGRES_VERSION_MIN: Final = 15
_FORMAT_S_MAX: Final = 120.0


def optional_programs(settings: Settings, layout: Layout) -> tuple[Program, ...]:
    """The programs that are started only by name."""
    return (_postgres(settings, layout), _batch_task_manager(settings, layout))


def predictions_address(settings: Settings, layout: Layout) -> str:
    """The address of the stack's own PostgreSQL; the password is in a file that it names."""
    return (
        f"postgresql://{_ROLE}@127.0.0.1:{settings.postgres_port}/{_ROLE}"
        f"?passfile={_password_file(layout)}"
    )


def format_postgres(settings: Settings, layout: Layout) -> None:
    """Make the directory, the role and the database of PostgreSQL, with a random password.

    Does nothing if they are there. PostgreSQL listens on loopback only, and asks for the password.

    Raises:
        StackError: PostgreSQL is not installed, or one of its tools failed.
    """
    data = _data(layout)
    if (data / "PG_VERSION").exists():
        return
    binaries = _binaries()
    home = data.parent
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    password = secrets.token_hex(16)
    given = home / "password"
    given.write_text(password + "\n", encoding="utf-8")
    if user := _other_user():
        # The user that runs PostgreSQL must be able to reach its directory.
        layout.data_dir.chmod(layout.data_dir.stat().st_mode | 0o011)
        for path in (home, given):
            os.chown(path, user.pw_uid, user.pw_gid)
    given.chmod(0o600)
    options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", f"--username={_ROLE}")
    _run(str(binaries / "initdb"), "-D", str(data), f"--pwfile={given}", *options)
    single = (str(binaries / "postgres"), "--single", "-D", str(data), "postgres")
    _run(*single, text=f"CREATE DATABASE {_ROLE};\n")
    given.unlink()
    passwords = _password_file(layout)
    passwords.touch(mode=0o600)
    passwords.write_text(f"127.0.0.1:{settings.postgres_port}:*:{_ROLE}:{password}\n", "utf-8")


def _postgres(settings: Settings, layout: Layout) -> Program:
    port = settings.postgres_port
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        # No socket: its path would have to be short.
        "unix_socket_directories": "",
        # A table that is filled in the transaction that creates it needs no log then.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "4GB",
        "shared_buffers": "256MB",
    }
    return Program(
        name=POSTGRES,
        command=(
            *(*_as_other_user(), str(_binary("postgres")), "-D", str(_data(layout))),
            *(f"--{name}={value}" for name, value in options.items()),
        ),
        ports=(Port(port, "WEIR_POSTGRES_PORT"),),
        ready=f"postgres=127.0.0.1:{port}",
        stage=STORES,
        # SIGTERM would wait for all sessions to end.
        stop_signal="INT",
    )


def _batch_task_manager(settings: Settings, layout: Layout) -> Program:
    scratch = layout.tmp / "batch-taskmanager"
    memory = (
        "-Xms128m",
        f"-Xmx{TASK_MANAGER_HEAP_MIB}m",
        f"-XX:MaxDirectMemorySize={TASK_MANAGER_DIRECT_MIB}m",
        f"-XX:MaxMetaspaceSize={TASK_MANAGER_METASPACE_MIB}m",
    )
    archived = archived_classes(layout, "taskmanager")
    return Program(
        name=BATCH,
        command=(
            *flink_java(layout, scratch, *memory, *TASK_MANAGER_OPTIONS, *archived),
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            *flink_arguments(layout, scratch),
            *("-D", f"taskmanager.numberOfTaskSlots={settings.batch_slots}"),
            *("-D", f"taskmanager.resource-id={BATCH}"),
        ),
        # This one has registered, not only that of the velocity job.
        ready=f"http=http://127.0.0.1:{settings.flink_rest_port}/taskmanagers/{BATCH}",
        clean=(scratch,),
        environment=flink_environment(layout),
    )


def _binary(name: str) -> Path:
    """A program of PostgreSQL; its bare name if PostgreSQL is not installed."""
    try:
        return _binaries() / name
    except StackError:
        return Path(name)


def _binaries() -> Path:
    """The directory with the programs of the newest PostgreSQL.

    Raises:
        StackError: there is none that is recent enough.
    """
    # Debian keeps them off the path.
    versions = {
        int(path.parts[-3]): path.parent
        for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")
        if path.parts[-3].isdecimal()
    }
    if versions and max(versions) >= _POSTGRES_VERSION_MIN:
        return versions[max(versions)]
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    raise StackError(
        f"PostgreSQL {_POSTGRES_VERSION_MIN} or newer is not installed; run "
        "`infra/local/setup/system-packages.sh postgres`"
    )


def _other_user() -> pwd.struct_passwd | None:
    """The user that must run PostgreSQL; None for the present one."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_USER)
    except KeyError:
        return None


def _as_other_user() -> tuple[str, ...]:
    """What to put before a command so that another user runs it, in the same process."""
    if _other_user() is None:
        return ()
    return ("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups", "--")


def _data(layout: Layout) -> Path:
    return layout.data_dir / "postgres" / "data"


def _password_file(layout: Layout) -> Path:
    return layout.data_dir / "postgres.pass"


def _run(*command: str, text: str = "") -> None:
    done = subprocess.run(
        [*_as_other_user(), *command],
        check=False,
        capture_output=True,
        text=True,
        input=text,
        timeout=_FORMAT_S_MAX,
        cwd="/",
    )
    if done.returncode:
        raise StackError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
