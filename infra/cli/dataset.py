"""`weir dataset`: a data set by date, from the archive, with its version."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.deployment import deployment_settings
from infra.cli.output import say
from infra.cli.times import DAY_FORMATS, AsOf, as_of_ms, day_ms
from infra.simulation.clock import WallClock
from operations.datasets import build_and_log
from training.datasets.dataset import Dataset


def build(
    *,
    from_day: Annotated[
        datetime, typer.Option("--from", formats=DAY_FORMATS, help="First day, UTC.")
    ],
    until_day: Annotated[
        datetime,
        typer.Option("--until", formats=DAY_FORMATS, help="First day no longer included, UTC."),
    ],
    as_of: AsOf = None,
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

    def on_built(dataset: Dataset) -> None:
        typer.echo(dataset.report())
        if out is not None:
            out.write_bytes(dataset.parquet())
            say(f"wrote {out}")

    logged = build_and_log(
        deployment_settings(),
        first_ms=day_ms(from_day),
        end_ms=day_ms(until_day),
        as_of_ms=as_of_ms(as_of, now_ms=WallClock().now_ms()),
        same_archive_as=None if version_of is None else version_of.read_text(encoding="utf-8"),
        is_logged=log,
        on_built=on_built,
    )
    if logged is not None:
        say(f"{'logged' if logged.is_new else 'known'} as run {logged.run_id}")
