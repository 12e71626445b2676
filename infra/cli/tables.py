"""`weir export` and `weir compare`: the feature log as a table, next to a published one."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import pyarrow.parquet as pq
import typer
from rich.table import Table

from clients.kafka import topic_partitions
from infra.cli.failures import EXIT_DIFFERENT, UsageError
from infra.cli.output import out
from infra.simulation.columns import check_columns
from infra.simulation.tables import opened
from operations.feature_table import export_feature_log
from operations.handbook_comparison import HANDBOOK_COLUMNS, OUR_COLUMNS, Comparison
from operations.handbook_comparison import compare as compare_tables
from schemas.settings import Settings
from schemas.topics import FEATURES


def export_features(
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
    with out.status("reading the feature log"):
        count = export_feature_log(settings.kafka_bootstrap, file, all_rows=all_rows)
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
    comparison = compare_tables(_read(file, OUR_COLUMNS), _read(oracle, HANDBOOK_COLUMNS))
    if not comparison.rows:
        raise UsageError(f"{file} and {oracle} have no transaction in common")
    _print(comparison)
    if comparison.different:
        raise typer.Exit(EXIT_DIFFERENT)


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    check_columns(path, opened(path).schema_arrow.names, wanted=columns, mapping="handbook")
    table: pd.DataFrame = pq.read_table(path, columns=list(columns)).to_pandas()
    return table


def _print(comparison: Comparison) -> None:
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
