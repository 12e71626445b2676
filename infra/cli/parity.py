"""`weir parity`: recompute all features from the logs, and say how many differ."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from infra.cli.failures import EXIT_DIFFERENT
from infra.cli.logged import run_parity
from infra.simulation.writer import topic_partitions
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, FEATURES, LABELS, TRANSACTIONS
from training.parity import ParityReport

out = Console(soft_wrap=True)


def parity(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Recompute every feature from the logged transactions and compare; exit 1 on a difference.

    Run it when traffic rests: transactions that are under way count as missing.
    """
    settings = Settings()
    topic_partitions(settings.kafka_bootstrap, (TRANSACTIONS, LABELS, FEATURES, DEAD_LETTERS))
    report = run_parity(settings)
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        _print(report)
    if not report.is_clean:
        raise typer.Exit(EXIT_DIFFERENT)


def _print(report: ParityReport) -> None:
    for difference in report.differences:
        out.print(
            f"{difference.feature} of {difference.transaction_id}: logged {difference.logged!r}, "
            f"recomputed {difference.recomputed!r}",
            markup=False,
        )
    out.print(
        f"{report.rows:,} rows, {report.checked:,} values checked: {report.mismatched:,} "
        f"mismatched, {report.missing:,} missing, {report.extra:,} extra, {report.gaps:,} gaps; "
        f"{report.raced:,} met a label that came late, {report.repeats:,} repeated rows"
    )


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("parity")(parity)
