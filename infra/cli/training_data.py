"""What `weir train` learns from: which options go together, and the data set they mean."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from infra.cli.failures import UsageError
from schemas.settings import Settings

if TYPE_CHECKING:
    from training.datasets.build import Dataset

DAYS: Final = 90
"""Of the newest days that are old enough, how many a training takes that names none."""


class Source(StrEnum):
    """Where training reads."""

    DATASET = "dataset"
    LOG = "log"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for, as the options say it.

    Attributes:
        source: where to read; what follows but ``keep_immature`` means a data set.
        first_ms: earliest event time, ms since 1970 UTC, itself included; None: not given.
        end_ms: first event time no longer included; None: not given.
        days: how many of the newest days that are old enough; None: not given.
        report: file with the report of a data set to make again; None: not given.
        keep_immature: take young rows as legitimate unless reported; of log or archive only.
        is_repeated: it is trained again and again.
    """

    source: Source = Source.DATASET
    first_ms: int | None = None
    end_ms: int | None = None
    days: int | None = None
    report: Path | None = None
    keep_immature: bool = False
    is_repeated: bool = False


def dataset_maker(settings: Settings, wanted: Wanted) -> "Callable[[], Dataset] | None":
    """Give what makes the data set that was asked for; None if log or archive are to be read.

    Nothing is read before it is called.

    Args:
        settings: where the archive is.
        wanted: what was asked for.

    Raises:
        UsageError: options do not go together; it names them.
    """
    _check(wanted)
    if wanted.source is not Source.DATASET:
        return None
    # Imported here: feast takes seconds that no other command should wait for.
    from training.datasets.build import (  # noqa: PLC0415
        build_dataset,
        newest_dataset,
        rebuild_dataset,
    )

    if wanted.report is not None:
        report = wanted.report.read_text(encoding="utf-8", errors="replace")
        return lambda: rebuild_dataset(settings, report)
    if wanted.first_ms is not None and wanted.end_ms is not None:
        first_ms, end_ms = wanted.first_ms, wanted.end_ms
        return lambda: build_dataset(settings, first_ms=first_ms, end_ms=end_ms)
    return lambda: newest_dataset(settings, days=wanted.days or DAYS)


def _check(wanted: Wanted) -> None:
    has_from, has_until = wanted.first_ms is not None, wanted.end_ms is not None
    if has_from != has_until:
        raise UsageError("--from and --until go together; give both, or --days")
    given = {
        "--from and --until": has_from,
        "--dataset": wanted.report is not None,
        "--days": wanted.days is not None,
    }
    named = [option for option, is_given in given.items() if is_given]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} each name a data set; give one of them")
    if wanted.source is not Source.DATASET and named:
        raise UsageError(f"{named[0]} name a data set; leave --source {wanted.source} out")
    if wanted.source is Source.DATASET and wanted.keep_immature:
        raise UsageError(
            "a data set has no young rows; --keep-immature goes with --source log or archive"
        )
    if wanted.is_repeated and named and named != ["--days"]:
        raise UsageError(
            f"{named[0]} name the same rows each time; with --every give --days, which moves on"
        )
