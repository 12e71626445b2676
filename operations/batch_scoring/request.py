"""What a batch scoring is asked to do. Pure; built by `weir batch score`, read by `run`."""

from dataclasses import dataclass
from typing import Final

from models.definition import ModelDefinition

ROWS_A_PART: Final = 250_000
"""Rows that a part has at least. It is what a lost TaskManager costs; each part is one commit."""
ROWS_AT_ONCE: Final = 8_192
"""Rows that are encoded and scored in one call."""
PARALLELISM_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class DayRange:
    """Score each transaction of some days, from its feature row in the archive.

    The entity of a prediction is the transaction, its prediction date the day of the event.

    Attributes:
        first_ms: midnight UTC of the first day, ms since 1970.
        end_ms: midnight UTC after the last day.
    """

    first_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class EntitiesAsOf:
    """Score each active entity once, from its newest feature row before a time.

    The prediction date is the day of the time.

    Attributes:
        as_of_ms: rows from this time on are not seen, ms since 1970 UTC.
        active_ms: an entity without a row within so long before is not scored, ms.
    """

    as_of_ms: int
    active_ms: int


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Score each row of a table of features, once an entity.

    Attributes:
        path: a Parquet file, or a directory of Parquet files.
        as_of_ms: the prediction date is the day of this time, ms since 1970 UTC.
    """

    path: str
    as_of_ms: int


Rows = DayRange | EntitiesAsOf | FeatureTable


@dataclass(frozen=True, slots=True)
class Request:
    """One batch scoring.

    Attributes:
        rows: what is scored.
        sink: where the predictions go: ``postgresql://...``, ``delta:DIRECTORY`` or
            ``duckdb:FILE``.
        table: name of the table of predictions.
        definition: of the model: its registered name, its columns, its decisions.
        model_version: a number, or an alias of the registered model.
        entity_column: the column whose value names the entity of a prediction.
        rows_a_part: rows that a part has at least.
        rows_at_once: rows that are encoded and scored in one call.
        parallelism: most tasks that score at the same time.
    """

    rows: Rows
    sink: str
    table: str
    definition: ModelDefinition
    model_version: str
    entity_column: str
    rows_a_part: int = ROWS_A_PART
    rows_at_once: int = ROWS_AT_ONCE
    parallelism: int = PARALLELISM_MAX

    @property
    def model_name(self) -> str:
        """The name of the registered model."""
        return self.definition.name
