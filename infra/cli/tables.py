"""`weir export` and `weir compare`: the feature log as a table, next to somebody else's."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from clients.kafka import topic_partitions
from clients.kafka_log import read_log
from infra.cli.failures import EXIT_DIFFERENT, UsageError
from infra.cli.feature_table import ExportCount, export_features
from schemas.settings import Settings
from schemas.topics import FEATURES

out = Console(soft_wrap=True)


def export_features_command(
    file: Annotated[Path, typer.Argument(help="The Parquet file to write; replaced if it exists.")],
    all_rows: Annotated[
        bool, typer.Option("--all-rows", help="Also repeated rows of the same transaction.")
    ] = False,
) -> None:
    """Write the feature log as a table: transaction_id, one column a feature, place in the log.

    Holds what was in the log when the command started; the first row of each transaction.
    """
    settings = Settings()
    if not file.resolve().parent.is_dir():
        raise UsageError(f"{file.resolve().parent} is not a directory; make it first")
    topic_partitions(settings.kafka_bootstrap, (FEATURES,))
    count = ExportCount()
    with out.status("reading the feature log"):
        export_features(
            read_log(settings.kafka_bootstrap, FEATURES), file, all_rows=all_rows, count=count
        )
    out.print(f"{count.rows} rows written to {file}, {count.repeats} repeats left out")


def compare(
    file: Annotated[Path, typer.Argument(help="A table written by `weir export features`.")],
    oracle: Annotated[Path, typer.Argument(help="A Parquet file with features to compare with.")],
    columns: Annotated[str, typer.Option(help="How its columns are named: handbook.")] = "handbook",
) -> None:
    """Compare exported features with a published table, value by value; exit 1 on a difference.

    Counts, rates and calendar must be equal, means to 1e-9. Customer features can only be equal
    when the replay began where the published table begins. Two transactions of one user at the
    same time may be swapped: such pairs are found in the data and counted apart.
    """
    if columns != "handbook":
        raise UsageError(f"--columns {columns} is unknown; there is handbook")
    # Imported here: no other command should wait for pandas.
    from infra.cli.comparison import compare_files  # noqa: PLC0415

    comparison = compare_files(file, oracle)
    if not comparison.rows:
        raise UsageError(f"{file} and {oracle} have no transaction in common")
    table = Table("feature", "compared", "different", "swapped")
    for feature in comparison.features:
        numbers = (feature.compared, feature.different, feature.swapped)
        table.add_row(feature.name, *(f"{number:,}" for number in numbers))
    out.print(table)
    for feature in comparison.features:
        for identity, ours, theirs in feature.examples:
            out.print(f"{feature.name} of {identity}: ours {ours!r}, theirs {theirs!r}")
    out.print(
        f"{comparison.rows:,} rows, {comparison.values:,} values compared, "
        f"{comparison.different:,} different; {comparison.tied_rows:,} rows share user and time; "
        f"{comparison.only_ours:,} rows only ours, {comparison.only_theirs:,} only theirs"
    )
    if comparison.different:
        raise typer.Exit(EXIT_DIFFERENT)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    export = typer.Typer(help="Write what is in the logs as a file.", no_args_is_help=True)
    export.command("features")(export_features_command)
    app.add_typer(export, name="export")
    app.command("compare")(compare)
