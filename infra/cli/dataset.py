"""`weir dataset`: a data set by date, from the archive, with its version."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.deployment import deployment_settings
from infra.cli.output import say
from infra.cli.times import AsOf, as_of_ms, day_ms, day_option
from infra.simulation.clock import WallClock
from operations.datasets import build_and_log
from training.datasets.dataset import Dataset
from training.datasets.split import SplitKind


def build(
    *,
    from_day: Annotated[datetime, day_option("--from", "First day, UTC.")],
    until_day: Annotated[datetime, day_option("--until", "First day no longer included, UTC.")],
    as_of: AsOf = None,
    split: Annotated[
        SplitKind | None,
        typer.Option(
            help="Divide it 70/15/15 into train, validation and test rows: by time, or at random "
            "with the same share of fraud in each part."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the rows to this file, as Parquet; with --split, all files to this "
            "directory."
        ),
    ] = None,
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
            write(dataset, out)
            say(f"wrote {out}")

    logged = build_and_log(
        deployment_settings(),
        first_ms=day_ms(from_day),
        end_ms=day_ms(until_day),
        as_of_ms=as_of_ms(as_of, now_ms=WallClock().now_ms()),
        same_archive_as=None if version_of is None else version_of.read_text(encoding="utf-8"),
        split=split,
        is_logged=log,
        on_built=on_built,
    )
    if logged is not None:
        say(f"{'logged' if logged.is_new else 'known'} as run {logged.run_id}")


def write(dataset: Dataset, out: Path) -> None:
    """Write the rows of a data set to a file; with a split, all of its files to a directory."""
    if dataset.split is None:
        out.write_bytes(dataset.parquet())
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, content in {**dataset.row_files(), **dataset.describing_files()}.items():
        (out / name).write_bytes(content)
