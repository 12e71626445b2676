"""`weir batch`: scores many rows at once into a database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from infra.cli.batch_options import (
    TABLE,
    Active,
    AsOfDay,
    BatchOptions,
    Entity,
    Every,
    Features,
    From,
    PartRows,
    TableName,
    To,
    Until,
    Version,
    range_of_days,
)
from infra.cli.failures import UsageError
from infra.cli.model_option import ModelName
from infra.cli.output import out, say
from infra.cli.times import day_ms, parse_duration_ms
from infra.local.flink_client import flink_client
from infra.local.stack import Stack
from infra.simulation.clock import WallClock
from infra.simulation.interrupt import clock_until_interrupted
from operations.batch_scoring.report import ScoringReport
from operations.batch_scoring.request import ROWS_A_PART
from operations.batch_scoring.run import Watch, score_batch
from operations.batch_scoring.sinks.postgres import PostgresSink
from operations.schedule import run_every
from schemas.settings import Settings

_BAR_WIDTH = 24


def create_table(*, to: To = None, table: TableName = TABLE) -> None:
    """Create the table of predictions in PostgreSQL, unless it exists."""
    address = to or Stack(Settings()).settings.predictions_url
    if not address.startswith("postgres"):
        raise UsageError(
            "only PostgreSQL needs this; the other kinds create their table themselves"
        )
    PostgresSink(address, table).create()
    say(f"table {table} is there")


def score(
    *,
    from_day: From = None,
    until_day: Until = None,
    as_of: AsOfDay = None,
    active: Active = None,
    features: Features = None,
    entity: Entity = None,
    model: ModelName = None,
    version: Version = None,
    to: To = None,
    table: TableName = TABLE,
    part_rows: PartRows = ROWS_A_PART,
    every: Every = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score many rows at once into a database, on Flink.

    Without options it scores every user who was active in the 30 days before the last midnight. The
    predictions replace those of the same model for the same dates, all at once; until then, and if
    anything fails, the old ones stay.
    """
    stack = Stack(Settings())
    options = BatchOptions(
        days=range_of_days(from_day, until_day),
        as_of_ms=None if as_of is None else day_ms(as_of),
        active_ms=None if active is None else parse_duration_ms(active),
        features=features,
        entity=entity,
        model=model,
        version=version,
        to=to,
        table=table,
        part_rows=part_rows,
    )
    if every is None:
        _score(stack, options, as_json=as_json)
        return
    options.check_repeatable()
    with clock_until_interrupted() as clock:
        run_every(
            lambda: _score(stack, options, as_json=as_json),
            every_ms=parse_duration_ms(every),
            clock=clock,
            report=say,
        )


def _score(stack: Stack, options: BatchOptions, *, as_json: bool) -> None:
    now_ms = WallClock().now_ms()
    request = options.request(stack.settings, now_ms=now_ms)
    client = flink_client(stack, log="batch-score")
    with _shown(quiet=as_json) as watch:
        report = score_batch(stack.settings, client, request, now_ms=now_ms, watch=watch)
    if as_json:
        typer.echo(report.to_json())
    else:
        _print(report, options.table)


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Watch]:
    """Show a bar of the rows on a terminal, and say what happens."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=_BAR_WIDTH),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out, disable=quiet) as bar:
        task = bar.add_task("preparing", total=None)
        yield Watch(
            say=(lambda _: None) if quiet else say,
            begin=lambda rows: bar.update(task, total=rows, description="scoring"),
            progress=lambda rows: bar.update(task, completed=rows),
        )


def _print(report: ScoringReport, table: str) -> None:
    dates = report.prediction_dates
    shown = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    say(
        f"{report.rows:,} predictions by {report.model_name} version {report.model_version} for "
        f"{shown} are in {table}, {report.rows_per_s:,.0f}/s"
    )
    say("  ".join(f"{step} {seconds:.1f} s" for step, seconds in report.seconds.items()))
    say(
        f"mean score {report.score_mean:.4f}; "
        + ", ".join(f"{count:,} {outcome}" for outcome, count in report.outcomes.items())
        + f"; {sum(report.nulls.values()):,} missing values, {report.left_out:,} rows left out"
    )
    if report.drift is not None:
        say(
            f"against run {report.drift.run_id}: mean {report.drift.mean_change:+.4f}, stability "
            f"index {report.drift.stability_index:.3f}"
        )
