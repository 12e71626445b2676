"""What a sink does, and what one publication consists of. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Run:
    """One run as its sink knows it.

    Attributes:
        run_id: of the run; letters, digits and no others.
        model_name: of the registered model. The run replaces what an earlier run of this model
            published for its dates.
        model_version: its number.
        data_version: of the rows that were scored.
    """

    run_id: str
    model_name: str
    model_version: str
    data_version: str


@dataclass(frozen=True, slots=True)
class FilledPart:
    """A part whose scores are complete.

    Attributes:
        number: of the part.
        prediction_date: ISO date.
        rows: how many predictions it has.
        target: what `Sink.target` gave for it.
    """

    number: int
    prediction_date: str
    rows: int
    target: str


class Sink(Protocol):
    """One table of predictions."""

    address: str
    """What parts connect to; "" if each writes a Parquet file."""

    def check(self) -> None:
        """Return if predictions can be published; called before any work.

        Raises:
            SinkUnreachableError: the database does not answer.
            PredictionsTableError: its table is missing, or has other columns.
        """

    def begin(self, run: Run) -> None:
        """Remove what runs that were killed have left, and let a run begin."""

    def target(self, run: Run, number: int) -> str:
        """Name what a part fills."""

    def publish(self, run: Run, parts: Sequence[FilledPart]) -> None:
        """Show the parts to readers, in place of earlier predictions of the model for the dates.

        Delivery: all at once or not at all; a reader sees all earlier predictions or all new ones.

        Raises:
            SinkUnreachableError: the database does not answer, or a lock is not released.
        """

    def discard(self, run: Run) -> None:
        """Remove what the parts of a run that was not published have filled; called at its end."""
