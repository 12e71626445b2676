"""`weir materialize`: batch features from the archive into Redis, once or on a schedule."""

import time
from typing import Annotated

import typer
from rich.console import Console

from infra.cli.deployment import deployment_settings
from infra.cli.output import say
from infra.cli.times import shown_moment
from infra.simulation.clock import WallClock
from schemas.errors import RetryableError
from training.datasets import materialization

err = Console(stderr=True, soft_wrap=True)


def materialize(
    *,
    every: Annotated[
        float | None,
        typer.Option("--every", min=1.0, help="Do it again every so many seconds, without end."),
    ] = None,
) -> None:
    """Compute the batch features up to the last midnight and put them into Redis."""
    settings = deployment_settings()
    clock = WallClock()
    while True:
        try:
            done = materialization.materialize(settings, now_ms=clock.now_ms())
            say(
                f"{done.users:,} users as of {shown_moment(done.snapshot_ms)} are online; "
                f"{done.snapshots} snapshots were new"
            )
        except RetryableError as error:
            if every is None:
                raise
            err.print(f"[bold red]error:[/] {error}; trying again in {every:.0f} s")
        if every is None:
            return
        time.sleep(every)
