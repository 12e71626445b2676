"""The progress bar of a replay, and its last line."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from infra.cli.output import out
from infra.simulation.replay import Progress


@contextmanager
def progress_bar(title: str, *, total: int) -> Iterator[Callable[[Progress], None]]:
    """Show a bar of transactions on a terminal; yields the function that is told each progress."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[where]}"),
        TimeRemainingColumn(),
    )
    began_s = time.monotonic()
    with Bar(*columns, console=out) as bar:
        task = bar.add_task(title, total=total, where="")

        def on_progress(progress: Progress) -> None:
            day = datetime.fromtimestamp(progress.event_time_ms / 1_000, UTC)
            rate_per_s = progress.transactions / (time.monotonic() - began_s)
            where = f"{day:%Y-%m-%d}  {rate_per_s:,.0f}/s  {progress.in_flight:,} in flight"
            bar.update(task, completed=progress.transactions, where=where)

        yield on_progress


def say_done(done: Progress) -> None:
    """Print what a replay has sent."""
    out.print(f"{done.transactions} transactions and {done.labels} labels sent and answered")
