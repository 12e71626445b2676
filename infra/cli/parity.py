"""`weir parity`: recompute all features from the logs, and count what differs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from clients.kafka import topic_partitions
from infra.cli.deployment import deployment_settings
from infra.cli.failures import EXIT_DIFFERENT, UsageError
from infra.cli.output import out
from operations.parity.report import COUNTS, DIFFERENCES_KEPT, FEATURE_LOG, ParityReport
from operations.parity.run import SURFACES, run_parity
from schemas.topics import DEAD_LETTERS, DECISIONS, FEATURES, LABELS, TRANSACTIONS


def parity(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Of {FEATURE_LOG}, {', '.join(SURFACES)}; all by default."),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Also write the counts as Prometheus metrics into this file."),
    ] = None,
) -> None:
    """Recompute every feature from the logged transactions and compare; exit 1 on a difference.

    Compares the feature log, the decisions with their vectors and their batch features, the rows
    of training, those of the archive if there is one, and what Redis holds of users and merchants.
    Traffic may go on: later transactions are not compared, and answers under way are waited for.
    """
    settings = deployment_settings()
    if unknown := sorted(set(only or ()) - {FEATURE_LOG, *SURFACES}):
        known = ", ".join((FEATURE_LOG, *SURFACES))
        raise UsageError(f"--only {', '.join(unknown)} is unknown; there is {known}")
    topics = (TRANSACTIONS, LABELS, FEATURES, DEAD_LETTERS, DECISIONS)
    topic_partitions(settings.kafka_bootstrap, topics)
    report = run_parity(settings, surfaces=SURFACES if only is None else only)
    if metrics is not None:
        write_metrics(report, metrics)
    if as_json:
        typer.echo(report.to_json())
    else:
        _print(report)
    if not report.is_clean:
        raise typer.Exit(EXIT_DIFFERENT)


def write_metrics(report: ParityReport, path: Path) -> None:
    """Write the counts for Prometheus' textfile collector; the file appears when it is complete.

    Raises:
        UsageError: the file cannot be written.
    """
    lines = []
    for count in COUNTS:
        lines += [f"# HELP weir_parity_{count} Values, or records, of the last parity run."]
        lines += [f"# TYPE weir_parity_{count} gauge"]
        lines += [
            f'weir_parity_{count}{{surface="{surface}"}} {counts[count]}'
            for surface, counts in report.counts().items()
        ]
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"--metrics {path}: {error}") from error


def _print(report: ParityReport) -> None:
    log = report.feature_log
    differences = {FEATURE_LOG: log.differences}
    differences |= {surface: found.differences for surface, found in report.surfaces.items()}
    for surface, of_surface in differences.items():
        for difference in of_surface:
            out.print(
                f"{surface}: {difference.feature} of {difference.transaction_id}: "
                f"{difference.logged!r}, recomputed {difference.recomputed!r}",
                markup=False,
            )
    table = Table("surface", *COUNTS)
    for surface, counts in report.counts().items():
        table.add_row(surface, *(f"{counts[count]:,}" for count in COUNTS))
    out.print(table)
    newer = sum(found.newer for found in report.surfaces.values())
    out.print(
        f"{log.rows:,} rows; {log.gaps:,} gaps; {log.late_labels:,} values met a label that "
        f"arrived late; {log.repeats:,} repeated rows; {newer:,} records newer than the rows were "
        "not compared"
    )
    if log.conflicting_ids:
        named = ", ".join(sorted(log.conflicting_ids)[:DIFFERENCES_KEPT])
        out.print(
            f"{len(log.conflicting_ids):,} conflicting ids: transaction ids that two users have "
            f"used; each has one decision, for one of them: {named}",
            markup=False,
        )
