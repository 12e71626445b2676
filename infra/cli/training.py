"""`weir train` and `weir models`: from the feature log to the model that decides, and back."""

import logging
import os
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from infra.cli.archive import archive_settings
from infra.cli.failures import EXIT_DIFFERENT
from infra.cli.logged import parity_words
from infra.cli.schedule import parse_duration, run_every
from infra.cli.stack import say
from infra.cli.traffic import clock_until_interrupted
from schemas.settings import Settings
from training.versions import ModelVersions

if TYPE_CHECKING:
    from training.train import TrainingOutcome

out = Console(soft_wrap=True)

BY_HAND: Final = "promoted by hand"


class Source(StrEnum):
    """Where training reads."""

    LOG = "log"
    ARCHIVE = "archive"


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
    Source, typer.Option("--from", help="Read the logs in Kafka, or the archive of them.")
]


def train(
    *,
    keep_immature: KeepImmature = False,
    skip_parity: SkipParity = False,
    source: From = Source.LOG,
    every: Annotated[
        str | None,
        typer.Option(help="Train now and then again and again: 30m, 6h, 1d. Ctrl-C ends it."),
    ] = None,
) -> None:
    """Fit a model on the feature log and its labels; champion only if it is better.

    A version that is not better than the champion by more than noise is registered as the
    challenger, with the reason. Exit 1 if only a parity that is not 0 kept it from being promoted.
    """
    settings = archive_settings()

    def once() -> "TrainingOutcome":
        return train_version(
            settings, keep_immature=keep_immature, skip_parity=skip_parity, source=source
        )

    if every is not None:
        every_ms = parse_duration(every)
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
) -> "TrainingOutcome":
    """Fit, register, promote if better; say which.

    Args:
        settings: where Kafka and MLflow are.
        keep_immature: see `training.dataset.join_labels`.
        skip_parity: promote without recomputing the features.
        source: where rows and labels are read.
    """
    # MLflow's own progress is noise beside ours.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # Imported here: mlflow and scikit-learn take seconds that no other command should wait for.
    from training.train import train_and_register  # noqa: PLC0415

    with out.status("training a model on the feature log"):
        outcome = train_and_register(
            settings,
            keep_immature=keep_immature,
            parity=None if skip_parity else lambda: parity_words(settings),
            source=source.value,
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
