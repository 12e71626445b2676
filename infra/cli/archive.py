"""`weir archive`: what the archive holds, whether it equals the logs, and making it again."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from infra.cli.deployment import deployment_settings
from infra.cli.failures import EXIT_DIFFERENT
from infra.cli.output import out, say
from infra.cli.times import shown_moment
from operations.archive_upkeep import compact_tables, table_status
from operations.labels.recorded import count_corrections
from training.archive.backfill_status import backfill_status
from training.archive.compare import compare_with_log
from training.archive.rebuild import rebuild_archive
from training.archive.tables import BACKFILLED, LABEL_CORRECTIONS, TABLES

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a table.")]


def status(*, as_json: AsJson = False) -> None:
    """Show how many rows and files the archive has, and how far it is behind the logs."""
    settings = deployment_settings()
    found = table_status(settings)
    backfilled = backfill_status(settings.archive_url)
    corrected = count_corrections(settings.archive_url)
    if as_json:
        for one in found:
            typer.echo(json.dumps(asdict(one)))
        typer.echo(json.dumps({"name": LABEL_CORRECTIONS, "rows": corrected}))
        if backfilled is not None:
            typer.echo(json.dumps({"name": BACKFILLED, **asdict(backfilled)}))
        return
    table = Table("table", "rows", "files", "version", "behind the log")
    for one in found:
        cells = (one.rows, one.files, one.version)
        behind = "follows another log" if one.behind is None else f"{one.behind:,}"
        table.add_row(one.name, *(f"{cell:,}" for cell in cells), behind)
    out.print(table)
    say(f"{LABEL_CORRECTIONS}: {corrected:,} labels that named the wrong merchant")
    if backfilled is not None:
        say(
            f"{BACKFILLED}: {backfilled.rows:,} rows of the definitions "
            f"{backfilled.definition_digest}"
        )
        for name, since_ms in backfilled.complete_since_ms.items():
            say(f"{name} is complete since {shown_moment(since_ms)}")


def compact() -> None:
    """Merge the small files of each day, and delete the files that they replaced.

    No row is lost. A file is deleted when it left the table more than WEIR_ARCHIVE_KEEP_H hours
    ago; after that, the versions of the table that had it cannot be read.
    """
    for name, figures in compact_tables(deployment_settings()).items():
        say(f"{name}: " + ", ".join(f"{what} {count}" for what, count in figures.items()))


def rebuild(
    *,
    accept_lost_rows: Annotated[
        bool,
        typer.Option(
            "--accept-lost-rows",
            help="Give up the archived rows that the logs no longer hold. Copy the archive first.",
        ),
    ] = False,
) -> None:
    """Make the archive again from the logs; it stays as it is until the new one is complete.

    Changes nothing if the archive has rows that the logs no longer hold, unless you accept that
    they are lost. May be interrupted. A running archiver goes on.
    """
    lost = rebuild_archive(deployment_settings(), accept_lost_rows=accept_lost_rows)
    for name, count in lost.items():
        if count:
            say(f"{name}: {count:,} rows that the logs do not hold were given up")
    status()


def verify(*, as_json: AsJson = False) -> None:
    """Compare the archive with the logs, row by row; exit 1 on a difference.

    Records that a running archiver has yet to take are counted as behind, which is no difference.
    """
    settings = deployment_settings()
    found = [compare_with_log(settings, name) for name in TABLES]
    for one in found:
        if as_json:
            typer.echo(json.dumps(asdict(one)))
        else:
            out.print(
                f"{one.name}: {one.rows:,} rows compared, {one.missing:,} missing, "
                f"{one.extra:,} extra, {one.different:,} different, {one.behind:,} behind"
                + (f", the first at {one.differences}" if one.differences else ""),
                markup=False,
            )
    if not all(one.is_equal for one in found):
        raise typer.Exit(EXIT_DIFFERENT)
