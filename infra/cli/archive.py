"""`weir archive`: what the archive holds, whether it is what the logs say, and making it anew."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from clients.kafka_log import end_offsets
from infra.cli.failures import EXIT_DIFFERENT
from infra.cli.stack import say
from infra.local.stack import Stack
from schemas.settings import Settings
from training.archive.tables import BACKFILLED, TABLES

out = Console(soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a table.")]


@dataclass(frozen=True, slots=True)
class TableStatus:
    """One line of `weir archive status`.

    Attributes:
        name: of the table.
        rows: it holds.
        files: it consists of.
        version: of the Delta table.
        behind: records of the log that are not in it yet.
    """

    name: str
    rows: int
    files: int
    version: int
    behind: int


def archive_settings() -> Settings:
    """The settings, paths as the local stack takes them: from the checkout."""
    return Stack(Settings()).settings


def status(*, as_json: AsJson = False) -> None:
    """Say how many rows and files the archive has, and how far it is behind the logs."""
    from training.archive.backfilled import backfill_status  # noqa: PLC0415 - slow to import

    settings = archive_settings()
    found = [_status_of(settings, name) for name in TABLES]
    backfilled = backfill_status(settings.archive_url)
    if as_json:
        for one in found:
            typer.echo(json.dumps(asdict(one)))
        if backfilled is not None:
            typer.echo(json.dumps({"name": BACKFILLED, **asdict(backfilled)}))
        return
    table = Table("table", "rows", "files", "version", "behind the log")
    for one in found:
        cells = (one.rows, one.files, one.version, one.behind)
        table.add_row(one.name, *(f"{cell:,}" for cell in cells))
    out.print(table)
    if backfilled is not None:
        say(
            f"{BACKFILLED}: {backfilled.rows:,} rows of the definitions "
            f"{backfilled.definition_digest}"
        )
        for name, since_ms in backfilled.complete_since_ms.items():
            say(f"{name} is complete since {moment(since_ms)}")


def moment(time_ms: int) -> str:
    """A time for people, UTC.

    Examples:
        >>> moment(1_795_392_000_123)
        '2026-11-23T00:00:00.123+00:00'
    """
    return datetime.fromtimestamp(time_ms / 1_000, tz=UTC).isoformat(timespec="milliseconds")


def compact() -> None:
    """Write the small files of each day together, and delete what nobody needs any more."""
    from training.archive.store import ArchiveTable  # noqa: PLC0415 - slow to import

    settings = archive_settings()
    for name in TABLES:
        figures = ArchiveTable(settings.archive_url, name).compact(
            keep_hours=settings.archive_keep_h
        )
        say(f"{name}: " + ", ".join(f"{what} {count}" for what, count in figures.items()))


def rebuild() -> None:
    """Empty the archive and fill it again from the logs; a running archiver takes part."""
    from training.archive.archiver import fill_archive  # noqa: PLC0415 - slow to import
    from training.archive.store import ArchiveTable  # noqa: PLC0415

    settings = archive_settings()
    for name in TABLES:
        table = ArchiveTable(settings.archive_url, name)
        table.open_or_create()
        table.empty(list(end_offsets(settings.kafka_bootstrap, name)))
    fill_archive(settings)
    status()


def verify(*, as_json: AsJson = False) -> None:
    """Compare the archive with the logs, row by row; exit 1 on a difference."""
    from training.archive.compare import compare_with_log  # noqa: PLC0415 - slow to import

    settings = archive_settings()
    found = [compare_with_log(settings, name) for name in TABLES]
    for one in found:
        if as_json:
            typer.echo(json.dumps(asdict(one)))
        else:
            out.print(
                f"{one.name}: {one.rows:,} rows compared, {one.missing:,} missing, "
                f"{one.extra:,} extra, {one.different:,} different"
                + (f", the first at {one.differences}" if one.differences else ""),
                markup=False,
            )
    if not all(one.is_equal for one in found):
        raise typer.Exit(EXIT_DIFFERENT)


def _status_of(settings: Settings, name: str) -> TableStatus:
    from training.archive.store import ArchiveTable  # noqa: PLC0415 - slow to import

    table = ArchiveTable(settings.archive_url, name)
    ends = end_offsets(settings.kafka_bootstrap, name)
    return TableStatus(
        name=name,
        rows=table.delta.count(),
        files=len(table.files()),
        version=table.delta.version(),
        behind=sum(end - table.next_offset(partition) for partition, end in ends.items()),
    )


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    archive = typer.Typer(help="The archive of the logs.", no_args_is_help=True)
    for command in (status, compact, rebuild, verify):
        archive.command()(command)
    app.add_typer(archive, name="archive")
