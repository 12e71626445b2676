"""The options of `weir train`: which go together, and the rows they ask for."""

from dataclasses import dataclass
from pathlib import Path

from infra.cli.failures import UsageError
from operations.training_run.request import DAYS, Rows, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """The options as they were given; None: not given.

    Attributes:
        source: where to read; ``first_ms`` to ``report`` describe a data set.
        first_ms: earliest event time, ms since 1970 UTC, included.
        end_ms: first event time that is not included any more.
        days: how many of the most recent days whose labels are mature.
        report: file with the report of a data set to make again.
        as_of_ms: look at the history as it was known then, ms since 1970 UTC.
        keep_immature: count young rows as legitimate unless reported; log and archive only.
        is_repeated: the training runs again and again.
    """

    source: Source = Source.DATASET
    first_ms: int | None = None
    end_ms: int | None = None
    days: int | None = None
    report: Path | None = None
    as_of_ms: int | None = None
    keep_immature: bool = False
    is_repeated: bool = False

    def rows(self) -> Rows:
        """Give the rows that the options ask for.

        Raises:
            UsageError: options do not go together; names them.
        """
        self._check()
        report = None
        if self.report is not None:
            report = self.report.read_text(encoding="utf-8", errors="replace")
        return Rows(
            source=self.source,
            first_ms=self.first_ms,
            end_ms=self.end_ms,
            days=self.days or DAYS,
            report=report,
            as_of_ms=self.as_of_ms,
            keep_immature=self.keep_immature,
        )

    def _check(self) -> None:
        has_from, has_until = self.first_ms is not None, self.end_ms is not None
        if has_from != has_until:
            raise UsageError("--from and --until go together; give both, or --days")
        given = {
            "--from and --until": has_from,
            "--dataset": self.report is not None,
            "--days": self.days is not None,
        }
        named = [option for option, is_given in given.items() if is_given]
        if len(named) > 1:
            raise UsageError(f"{' and '.join(named)} each name a data set; give one of them")
        if self.source is not Source.DATASET and named:
            raise UsageError(f"{named[0]} name a data set; leave --source {self.source} out")
        if self.source is Source.DATASET and self.keep_immature:
            raise UsageError(
                "a data set has no young rows; --keep-immature goes with --source log or archive"
            )
        if self.as_of_ms is not None and self.report is not None:
            raise UsageError("--dataset has an as-of of its own; leave --as-of out")
        if self.as_of_ms is not None and self.is_repeated:
            raise UsageError("--as-of names the same time each time; leave it out with --every")
        if self.is_repeated and named and named != ["--days"]:
            raise UsageError(
                f"{named[0]} name the same rows each time; with --every give --days, which moves on"
            )
