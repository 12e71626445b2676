"""Archives the loaded classes of each JVM once, so that later starts load them instead of parsing.

A JVM with an archive starts in half the time. Without one, or with one of other jars or of another
Java, it starts as usual. `make jars` runs this module after the jars are there:

    python -m infra.local.class_archives

It starts a stack of its own on free ports, and stops it.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from infra.local.errors import StackError
from infra.local.jvm import JVM_PROGRAMS, class_archive
from infra.local.ports import free_ports
from infra.local.programs import Program
from infra.local.stack import Stack
from schemas.settings import Settings

DUMP_S_MAX = 120
"""A JVM writes its archive when it ends, which takes seconds, and much longer on a busy machine."""


def main() -> None:
    """Write the archives; a failure is reported and is no error, because no start needs them."""
    with tempfile.TemporaryDirectory(
        prefix="weir-", dir="/tmp"
    ) as directory:  # short, for a socket
        try:
            archive_classes(Path(directory))
        except StackError as error:
            sys.stderr.write(f"no class archives, so starts are slower: {error}\n")


def archive_classes(data_dir: Path) -> None:
    """Run every JVM of the stack until it answers, and archive its classes when it ends.

    Raises:
        StackError: a JVM does not start, or does not end.
    """
    kafka, flink_rest, flink_rpc = free_ports(3)
    settings = Settings(
        data_dir=data_dir, kafka_port=kafka, flink_rest_port=flink_rest, flink_rpc_port=flink_rpc
    )
    stack = Stack(settings, tied=True)
    for name in JVM_PROGRAMS:
        class_archive(stack.layout, name).unlink(missing_ok=True)
    stack.programs = tuple(
        _archiving(program, class_archive(stack.layout, program.name))
        for program in stack.programs
        if program.name in JVM_PROGRAMS
    )
    stack.layout.class_archives.mkdir(parents=True, exist_ok=True)
    try:
        stack.up()
    finally:
        stack.down()


def _archiving(program: Program, archive: Path) -> Program:
    java, *arguments = program.command
    command = (java, f"-XX:ArchiveClassesAtExit={archive}", *arguments)
    return replace(program, command=command, stop_wait_s=DUMP_S_MAX)


if __name__ == "__main__":
    main()
