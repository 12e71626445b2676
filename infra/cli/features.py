"""`weir materialize`: batch features from the archive into Redis, once or on a schedule."""

import time
from typing import Annotated

import typer
from rich.console import Console

from infra.cli.output import say
from infra.cli.times import shown_moment
from infra.local.flink_client import flink_client
from infra.local.stack import Stack
from infra.simulation.clock import WallClock
from operations.batch_features import materialize_on_flink
from schemas.errors import RetryableError
from schemas.settings import Settings
from training.datasets.materialization import Materialized
from training.datasets.materialization import materialize as materialize_here

err = Console(stderr=True, soft_wrap=True)


def materialize(
    *,
    every: Annotated[
        float | None,
        typer.Option("--every", min=1.0, help="Do it again every so many seconds, without end."),
    ] = None,
    flink: Annotated[
        bool,
        typer.Option("--flink", help="Compute on the Flink cluster, not in this process."),
    ] = False,
) -> None:
    """Compute the batch features up to the last midnight and put them into Redis."""
    stack, clock = Stack(Settings()), WallClock()
    while True:
        try:
            done = _materialize(stack, now_ms=clock.now_ms(), on_flink=flink)
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


def _materialize(stack: Stack, *, now_ms: int, on_flink: bool) -> Materialized:
    if on_flink:
        client = flink_client(stack, log="batch-features")
        return materialize_on_flink(stack.settings, client, now_ms=now_ms)
    return materialize_here(stack.settings, now_ms=now_ms)
