"""`weir train` and `weir models`: from a data set to the model that decides, and back."""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from infra.cli.archive import archive_settings
from infra.cli.dataset import DAY_FORMATS, day_ms
from infra.cli.failures import EXIT_DIFFERENT
from infra.cli.schedule import parse_duration, run_every
from infra.cli.stack import say
from infra.cli.traffic import clock_until_interrupted
from infra.cli.training_data import DAYS, Source, Wanted, dataset_maker
from infra.simulation.clock import WallClock
from operations.parity.run import parity_words
from schemas.settings import Settings
from training.registry.versions import ModelVersions

if TYPE_CHECKING:
    from operations.training_run import TrainingOutcome
    from training.datasets.build import Dataset

out = Console(soft_wrap=True)

BY_HAND: Final = "promoted by hand"


KeepImmature = Annotated[
    bool,
    typer.Option(
        "--keep-immature", help="Take transactions of the last days as honest unless reported."
    ),
]
SkipParity = Annotated[
    bool,
    typer.Option("--skip-parity", help="Promote without recomputing the features first."),
]
From = Annotated[
    datetime | None,
    typer.Option("--from", formats=DAY_FORMATS, help="First day of the data set, UTC."),
]
Until = Annotated[
    datetime | None,
    typer.Option("--until", formats=DAY_FORMATS, help="First day no longer in it, UTC."),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--dataset", exists=True, dir_okay=False, help="A report.json: the very rows of that one."
    ),
]
Days = Annotated[
    int | None,
    typer.Option(
        min=1, help=f"The newest days that are old enough; {DAYS}, if no option names others."
    ),
]
Read = Annotated[
    Source, typer.Option(help="A data set of the archive, or simply all of log or archive.")
]


def train(
    *,
    from_day: From = None,
    until_day: Until = None,
    report: Report = None,
    days: Days = None,
    source: Read = Source.DATASET,
    choose: Annotated[
        bool, typer.Option("--choose", help="Choose the forest's parameters first: nine fits more.")
    ] = False,
    keep_immature: KeepImmature = False,
    skip_parity: SkipParity = False,
    every: Annotated[
        str | None,
        typer.Option(help="Train now and then again and again: 30m, 6h, 1d. Ctrl-C ends it."),
    ] = None,
) -> None:
    """Make a data set and fit a model on it; champion only if it is better.

    A version that is not better than the champion by more than noise is registered as the
    challenger, with the reason. Exit 1 if only a parity that is not 0 kept it from being promoted.
    """
    settings = archive_settings()
    wanted = Wanted(
        source=source,
        first_ms=None if from_day is None else day_ms(from_day),
        end_ms=None if until_day is None else day_ms(until_day),
        days=days,
        report=report,
        keep_immature=keep_immature,
        is_repeated=every is not None,
    )
    every_ms = None if every is None else parse_duration(every)
    make = dataset_maker(settings, wanted)

    def once() -> "TrainingOutcome":
        return train_version(
            settings,
            keep_immature=keep_immature,
            skip_parity=skip_parity,
            source=source,
            make=make,
            choose=choose,
        )

    if every_ms is not None:
        with clock_until_interrupted() as clock:
            run_every(once, every_ms=every_ms, clock=clock, report=say)
    elif once().blocked:
        raise typer.Exit(EXIT_DIFFERENT)


def train_version(
    settings: Settings,
    *,
    keep_immature: bool,
    skip_parity: bool,
    source: Source = Source.LOG,
    make: "Callable[[], Dataset] | None" = None,
    choose: bool = False,
) -> "TrainingOutcome":
    """Fit, register, promote if better; say which.

    Args:
        settings: where Kafka, archive and MLflow are.
        keep_immature: see `training.datasets.rows.join_labels`; not for a data set.
        skip_parity: promote without recomputing the features.
        source: where rows and labels are read, if no data set is made.
        make: makes the data set to train on; None: there is none.
        choose: choose the forest's parameters from `training.fitting.choose.GRID` first.
    """
    # MLflow's own progress is noise beside ours.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # Imported here: mlflow and scikit-learn take seconds that no other command should wait for.
    from operations.training_run import (  # noqa: PLC0415
        Plan,
        clear_unfinished,
        train_and_register,
        train_on_dataset,
    )
    from training.fitting.choose import GRID  # noqa: PLC0415

    parity = None if skip_parity else lambda: parity_words(settings)
    plan = Plan(parity=parity, grid=GRID if choose else ())
    for run_id in clear_unfinished(settings, now_ms=WallClock().now_ms()):
        say(f"took away run {run_id}, which an earlier training could not finish")
    if make is not None:
        with out.status("making a data set, training a model on it"):
            outcome = train_on_dataset(settings, make, plan=plan)
    else:
        with out.status(f"training a model on the {source}"):
            outcome = train_and_register(
                settings,
                plan=plan,
                keep_immature=keep_immature,
                source="archive" if source is Source.ARCHIVE else "log",
            )
    if outcome.dataset is not None:
        say(
            f"data set {'logged' if outcome.dataset.is_new else 'known'} as run "
            f"{outcome.dataset.run_id}"
        )
    place = "the champion" if outcome.verdict.promotes else "a challenger, not the champion"
    say(f"registered {settings.model_name} version {outcome.version.version} as {place}")
    say(outcome.verdict.reason)
    return outcome


def list_models() -> None:
    """List the versions of the model, newest first."""
    versions = ModelVersions.from_settings(Settings())
    names = ("version", "aliases", "status", "average precision", "code", "registered (UTC)", "why")
    table = Table(*names)
    for entry in versions.all():
        created = datetime.fromtimestamp(entry.created_ms / 1_000, UTC)
        told = (entry.tags.get(tag, "") for tag in ("status", "average_precision", "code_version"))
        cells = (" ".join(entry.aliases), *told, f"{created:%Y-%m-%d %H:%M:%S}")
        table.add_row(entry.version, *cells, entry.tags.get("reason", ""))
    out.print(table)


def promote(
    version: Annotated[str, typer.Argument(help="Number of the version, see `weir models list`.")],
    *,
    skip_parity: SkipParity = False,
) -> None:
    """Make a version the champion; exit 1, and change nothing, while parity is not 0.

    A person's choice: its figures are not compared with the champion's.
    """
    settings = archive_settings()
    versions = ModelVersions.from_settings(settings)
    versions.get(version)
    wrong = None if skip_parity else parity_words(settings)
    if wrong is not None:
        say(f"not promoted, parity is not 0: {wrong}; `weir parity` shows it")
        raise typer.Exit(EXIT_DIFFERENT)
    before = versions.promote(version, reason=BY_HAND)
    if before is None:
        say(f"version {version} is the champion")
    else:
        say(f"version {version} is the champion, version {before.version} is archived")


def rollback() -> None:
    """Make the version champion again that the champion replaced; the scorer follows in seconds."""
    left, now = ModelVersions.from_settings(Settings()).roll_back()
    say(f"version {now.version} is the champion again, version {left.version} is rolled back")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    models = typer.Typer(help="The registered models.", no_args_is_help=True)
    models.command("list")(list_models)
    models.command("promote")(promote)
    models.command("rollback")(rollback)
    app.command("train")(train)
    app.add_typer(models, name="models")
