"""The options of `weir batch score`, and the request that they make."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from features.definitions import DAY_MS
from infra.cli.failures import UsageError
from infra.cli.times import day_ms, day_option
from models.catalogue import find_model_definition
from models.definition import ModelDefinition
from operations.batch_scoring.request import (
    DayRange,
    EntitiesAsOf,
    FeatureTable,
    Request,
    Rows,
)
from schemas.settings import Settings

TABLE: Final = "predictions"

To = Annotated[
    str | None,
    typer.Option(
        "--to",
        help="postgresql://USER@HOST:PORT/DATABASE, delta:DIRECTORY or duckdb:FILE; by default "
        "WEIR_PREDICTIONS_URL.",
    ),
]
TableName = Annotated[str, typer.Option("--table", help="Name of the table of predictions.")]

From = Annotated[
    datetime | None, day_option("--from", "Score each transaction from this day on, UTC.")
]
Until = Annotated[datetime | None, day_option("--until", "First day no longer scored, UTC.")]
AsOfDay = Annotated[
    datetime | None,
    day_option("--as-of", "Score each entity as of this midnight UTC; the last one by default."),
]
Active = Annotated[
    str | None,
    typer.Option(help="Leave out entities without a row for longer; 30d, or as the model says."),
]
Features = Annotated[
    Path | None, typer.Option(exists=True, help="Score the rows of these Parquet files instead.")
]
Entity = Annotated[
    str | None,
    typer.Option(help="Column that names the entity; transaction_id with --from, else user_id."),
]
Version = Annotated[
    str | None, typer.Option(help="A version's number or an alias; the champion by default.")
]
PartRows = Annotated[
    int, typer.Option(min=1, help="Rows that a part has at least; a lost TaskManager repeats one.")
]
Every = Annotated[
    str | None, typer.Option(help="Score now and then again and again: 6h, 1d. Ctrl-C ends it.")
]


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """The options as the command line gave them.

    Attributes:
        days: the range of ``--from`` and ``--until``, None without them.
        as_of_ms: ms since 1970 UTC; None: the last midnight.
        active_ms: how long an entity counts as active, ms; None: as the model's definition says.
        features: Parquet files to score instead of the archive.
        entity: column that names the entity; None: the usual one.
        model: name of the registered model; None: the deployment's.
        version: number or alias; None: the champion.
        to: address of the sink; None: the deployment's.
        table: name of the table of predictions.
        part_rows: rows that a part has at least.
    """

    days: DayRange | None
    as_of_ms: int | None
    active_ms: int | None
    features: Path | None
    entity: str | None
    model: str | None
    version: str | None
    to: str | None
    table: str
    part_rows: int

    def check_repeatable(self) -> None:
        """Return if the options say the same every day.

        Raises:
            UsageError: they name days.
        """
        if self.days is not None or self.as_of_ms is not None:
            raise UsageError("--every scores as of the last midnight; leave out --from and --as-of")

    def request(self, settings: Settings, *, now_ms: int) -> Request:
        """Give the request that they make.

        Args:
            settings: of the deployment.
            now_ms: the clock, ms since 1970 UTC.

        Raises:
            UsageError: the options contradict each other.
            UnknownModelError, ModelDefinitionError: there is no such model.
        """
        definition = find_model_definition(settings, self.model or settings.model_name)
        self._check_entity(definition)
        return Request(
            rows=self._rows(definition, now_ms),
            sink=self.to or settings.predictions_url,
            table=self.table,
            definition=definition,
            model_version=self.version or settings.champion_alias,
            entity_column=self.entity or ("user_id" if self.days is None else "transaction_id"),
            rows_a_part=self.part_rows,
        )

    def _check_entity(self, definition: ModelDefinition) -> None:
        """Refuse rows that are not of the model's entity; a table of features may have any."""
        if definition.entity == "transaction" or self.features is not None:
            return
        if self.days is not None or self.entity not in (None, "user_id"):
            raise UsageError(
                f"model {definition.name} scores users as of a day: leave out --from, --until and "
                "--entity, and name a day with --as-of"
            )
        if not definition.is_read_from_the_store:
            raise UsageError(
                f"model {definition.name} takes more than a user; give a table of its columns with "
                "--features"
            )

    def _rows(self, definition: ModelDefinition, now_ms: int) -> Rows:
        if self.days is not None:
            if self.as_of_ms is not None or self.features is not None:
                raise UsageError("--from and --until go with neither --as-of nor --features")
            return self.days
        as_of_ms = now_ms - now_ms % DAY_MS if self.as_of_ms is None else self.as_of_ms
        if as_of_ms > now_ms:
            raise UsageError("--as-of is after the clock; give an earlier day")
        if self.features is not None:
            return FeatureTable(str(self.features.resolve()), as_of_ms)
        active_ms = definition.active_ms if self.active_ms is None else self.active_ms
        return EntitiesAsOf(as_of_ms, active_ms)


def range_of_days(first: datetime | None, end: datetime | None) -> DayRange | None:
    """Give the range of two days, the second one excluded; None without them.

    Raises:
        UsageError: one of them is missing, or the range is empty.
    """
    if first is None and end is None:
        return None
    if first is None or end is None:
        raise UsageError("give --from together with --until")
    if first >= end:
        raise UsageError(f"--until {end:%Y-%m-%d} is not after --from {first:%Y-%m-%d}")
    return DayRange(day_ms(first), day_ms(end))
