"""What a training was asked for: which rows, and how to train on them.

Pure data. The command line, the demo and the bench build it; `run` carries it out.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from training.datasets.labelled_rows import MATURITY_MS
from training.fitting.families import Parameters
from training.fitting.fit import ForestParameters

DAYS: Final = 90
"""How many of the most recent days whose labels are mature a training takes if it names none."""
SEED: Final = 20_261_124
"""The seed of a training that names none."""


class Source(StrEnum):
    """Where a training reads its rows."""

    DATASET = "dataset"
    LOG = "log"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Which rows to train on.

    Attributes:
        source: a data set made from the archive, or everything in the log or in the archive.
        first_ms: earliest event time of the data set, ms since 1970 UTC, included; None: `days`.
        end_ms: first event time that is not included any more; None: `days`.
        days: how many of the most recent days whose labels are mature.
        as_of_ms: look at the history as it was known then, ms since 1970 UTC; None: the clock. Not
            for a report, which has its own.
        report: text of an earlier data set's report, to make the same rows again; None: not given.
        maturity_ms: age, ms, from which on a row without a label counts as legitimate; log and
            archive only.
        keep_immature: count younger rows without a label as legitimate; log and archive only.
    """

    source: Source = Source.DATASET
    first_ms: int | None = None
    end_ms: int | None = None
    days: int = DAYS
    as_of_ms: int | None = None
    report: str | None = None
    maturity_ms: int = MATURITY_MS
    keep_immature: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train, whatever the rows are.

    Attributes:
        parameters: of the model; with a grid, the ones to take if the rows cannot tell.
        grid: parameters to choose from on the validation rows, of one family or several; empty:
            `parameters` are taken.
        seed: of model, golden rows and draws; equal rows and seeds give equal models.
        is_tried_again: whether a training that fails is tried again soon. Then a gate that is
            closed because a service does not answer is a failure, and nothing is registered;
            otherwise the version becomes a challenger.
        is_challenger: whether the version becomes a challenger even if it is better, so that a
            rollout lets it in. Then the gate is not asked.
    """

    parameters: Parameters = field(default_factory=ForestParameters)
    grid: tuple[Parameters, ...] = ()
    seed: int = SEED
    is_tried_again: bool = False
    is_challenger: bool = False
