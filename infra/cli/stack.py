"""`weir up`, `down`, `status`, `logs`, `doctor`: the local stack."""

import os
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from clients.errors import KafkaUnreachableError
from infra.cli.failures import EXIT_DIFFERENT, UsageError
from infra.cli.output import out, say
from infra.local.doctor import examine
from infra.local.stack import ProgramStatus, Stack
from schemas.settings import Settings


def up(
    *,
    optional: Annotated[
        list[str] | None,
        typer.Option("--with", help="Start this as well: postgres, batch. May be given twice."),
    ] = None,
) -> None:
    """Start the local stack, or what is missing of it, and wait until it answers.

    `postgres` is a PostgreSQL for the predictions of `weir batch score`, on this machine only, and
    `batch` a TaskManager for batch jobs beside the velocity job.
    """
    stack = Stack(Settings(), report=say)
    known = [program.name for program in stack.optional_programs]
    if unknown := set(optional or ()) - set(known):
        raise UsageError(f"--with {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    stack.up(optional=optional or ())


def down() -> None:
    """Stop every process of the local stack; its data stays."""
    if not Stack(Settings(), report=say).down():
        say("nothing was running")


def status() -> None:
    """Show what runs, how far it is behind and the active rollout; exit 1 unless all works."""
    stack = Stack(Settings())
    programs = stack.status()
    table = Table("program", "state", "ready", "pid", "ports", "")
    for program in programs:
        table.add_row(*_cells(program))
    out.print(table)
    for program in programs:
        if program.job is not None:
            say(str(program.job))
        if not program.ready:
            say(f"{program.name} is not ready; see {program.log}")
    ready = {program.name for program in programs if program.ready}
    if "kafka" in ready:
        _say_lags(stack.settings.kafka_bootstrap)
    if "redis" in ready:
        _say_rewrites(stack.settings)
    if "api" in ready:
        _say_rollout(stack.settings)
    if not all(program.ready for program in programs):
        raise typer.Exit(EXIT_DIFFERENT)


def doctor() -> None:
    """Check what is installed, running and reachable, and say what to do about the rest."""
    checks = examine(Stack(Settings()))
    for check in checks:
        mark = "[green]ok[/]  " if check.ok else "[red]bad[/] "
        out.print(f"{mark} {escape(check.name)}: {escape(check.detail)}", highlight=False)
        if check.advice:
            out.print(f"     {escape(check.advice)}", highlight=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(EXIT_DIFFERENT)


def logs(
    program: Annotated[str | None, typer.Argument(help="Of this program only.")] = None,
    lines: Annotated[int, typer.Option(min=1, help="Newest lines of each log.")] = 40,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show the newest lines of the logs."""
    found = {entry.name: entry.log for entry in Stack(Settings()).status()}
    if program is not None and program not in found:
        raise UsageError(f"no program {program!r}; there are {', '.join(found)}")
    wanted = [found[program]] if program is not None else list(found.values())
    present = [str(path) for path in wanted if path.exists()]
    if not present:
        raise UsageError("there are no logs yet; `weir up` starts the stack")
    os.execvp("tail", ["tail", *(["-F"] if follow else []), "-n", str(lines), *present])  # noqa: S606 - it becomes tail


def _say_lags(bootstrap: str) -> None:
    # Imported here, because the client library takes half a second to import.
    from infra.local.lag import read_lags  # noqa: PLC0415

    try:
        for lag in read_lags(bootstrap):
            say(str(lag))
    except KafkaUnreachableError as error:
        say(f"the lag is unknown: {error}")


def _say_rewrites(settings: Settings) -> None:
    # Imported here, because the client library takes a while to import.
    from infra.local.online_state import read_online_state  # noqa: PLC0415

    try:
        for sentence in read_online_state(settings).under_way():
            say(sentence)
    except OSError as error:
        say(str(error))


def _say_rollout(settings: Settings) -> None:
    # Imported here, because the client library takes a while to import.
    from infra.local.rollout_state import read_rollout  # noqa: PLC0415

    for sentence in read_rollout(settings):
        say(sentence)


def _cells(program: ProgramStatus) -> tuple[str, ...]:
    return (
        program.name,
        program.state,
        "[green]yes[/]" if program.ready else "[red]no[/]",
        str(program.pid or ""),
        " ".join(str(port) for port in program.ports),
        escape(program.description),
    )
