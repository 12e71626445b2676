"""`weir dataset`: a data set by date, from the archive, with its version."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from infra.cli.archive import archive_settings
from infra.cli.stack import say

DAY_FORMATS: Final = ["%Y-%m-%d"]


def build(
    *,
    from_day: Annotated[
        datetime, typer.Option("--from", formats=DAY_FORMATS, help="First day, UTC.")
    ],
    until_day: Annotated[
        datetime,
        typer.Option("--until", formats=DAY_FORMATS, help="First day no longer included, UTC."),
    ],
    out: Annotated[Path | None, typer.Option(help="Write the rows here, as Parquet.")] = None,
    version_of: Annotated[
        Path | None,
        typer.Option(
            "--again",
            exists=True,
            dir_okay=False,
            help="A report.json: know as much of the archive as that one did.",
        ),
    ] = None,
    log: Annotated[bool, typer.Option(help="Log it to MLflow.")] = True,
) -> None:
    """Make the data set of some days, as of when their labels were mature; log it to MLflow."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Imported here: feast and mlflow take seconds that no other command should wait for.
    from training.archive.read import ArchiveVersion  # noqa: PLC0415
    from training.datasets.build import build_dataset  # noqa: PLC0415
    from training.registry.dataset_log import log_dataset  # noqa: PLC0415
    from training.registry.mlflow_runs import check_reachable  # noqa: PLC0415

    settings = archive_settings()
    if log:
        # Before minutes of work that would have nowhere to go.
        check_reachable(settings.mlflow_tracking_uri)
    archive = None
    if version_of is not None:
        report = json.loads(version_of.read_text(encoding="utf-8"))
        archive = ArchiveVersion.from_json(report["version"]["archive"])
    dataset = build_dataset(
        settings, first_ms=day_ms(from_day), end_ms=day_ms(until_day), archive=archive
    )
    typer.echo(dataset.report())
    if out is not None:
        out.write_bytes(dataset.parquet())
        say(f"wrote {out}")
    if log:
        logged = log_dataset(settings, dataset)
        say(f"{'logged' if logged.is_new else 'known'} as run {logged.run_id}")


def day_ms(day: datetime) -> int:
    """The first moment of a day, UTC, in ms since 1970."""
    return int(day.replace(tzinfo=UTC).timestamp()) * 1_000


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    dataset = typer.Typer(help="Data sets from the archive.", no_args_is_help=True)
    dataset.command("build")(build)
    app.add_typer(dataset, name="dataset")
